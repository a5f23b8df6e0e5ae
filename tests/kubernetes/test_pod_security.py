"""Pod Security by the API server's own admission: every pod of deploy/ is as restricted as it can be."""

from copy import deepcopy
from typing import Any

import pytest

from offbus_steps.kubernetes.port import KubernetesPort
from offbus_steps.port import Forbidden
from tests.kits.kubernetes.deployed import pod_templates

pytestmark = pytest.mark.anyio
ON_THE_NODE = {
    "offbus-agent": "its helper writes the kernel log",
    "standin-detector": "it plays NVSentinel's monitor and janitor: it reads the kernel log itself",
}
"""Pods that no cluster can run restricted, and why."""
SERVER = "agent"
HELPER = "kmsg-helper"


@pytest.fixture
async def restricted(port: KubernetesPort, namespace: str) -> str:
    """A namespace that takes no other pods than restricted ones."""
    name = f"{namespace}-restricted"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    meta = {"name": name, "labels": labels}
    await port.objects.create({"apiVersion": "v1", "kind": "Namespace", "metadata": meta})
    return name


async def create(port: KubernetesPort, namespace: str, spec: dict[str, Any]) -> None:
    """What would be created. Raises Forbidden with the violations."""
    meta = {"name": "one", "namespace": namespace}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}
    made = await port.objects.create(pod, dry_run=True)
    assert made["spec"]["containers"]


def alone(template: dict[str, Any], name: str) -> dict[str, Any]:
    """One container of a pod, without what is the pod's own: its host folders, and the node's processes."""
    spec = deepcopy(template["spec"])
    [container] = [one for one in spec["containers"] if one["name"] == name]
    used = {mount["name"] for mount in container["volumeMounts"]}
    volumes = [
        {"name": volume["name"], "emptyDir": {}} if "hostPath" in volume else volume
        for volume in spec["volumes"]
        if volume["name"] in used
    ]
    return {"containers": [container], "volumes": volumes, "securityContext": spec["securityContext"]}


@pytest.mark.guarantee("G33")
async def test_every_pod_but_those_of_the_kernel_log_is_restricted(
    port: KubernetesPort, restricted: str
) -> None:
    templates = pod_templates()
    assert set(ON_THE_NODE) < set(templates)
    assert len(set(templates) - set(ON_THE_NODE)) >= 3
    for name in set(templates) - set(ON_THE_NODE):
        await create(port, restricted, templates[name]["spec"])
    for name in ON_THE_NODE:
        with pytest.raises(Forbidden, match="violates PodSecurity"):
            await create(port, restricted, templates[name]["spec"])


@pytest.mark.guarantee("G33")
async def test_the_server_s_container_is_restricted_and_its_helper_alone_is_not(
    port: KubernetesPort, restricted: str
) -> None:
    template = pod_templates()["offbus-agent"]
    assert {one["name"] for one in template["spec"]["containers"]} == {SERVER, HELPER}
    await create(port, restricted, alone(template, SERVER))
    with pytest.raises(Forbidden, match=r"privileged \(container \"kmsg-helper\""):
        await create(port, restricted, alone(template, HELPER))
    with pytest.raises(Forbidden) as refused:
        await create(port, restricted, template["spec"])
    assert f'"{HELPER}"' in str(refused.value)
    assert f'"{SERVER}"' not in str(refused.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("allowPrivilegeEscalation", True),
        ("runAsNonRoot", False),
        ("capabilities", {"drop": []}),
        ("seccompProfile", {"type": "Unconfined"}),
    ],
)
async def test_a_server_with_a_right_more_would_be_refused(
    port: KubernetesPort, restricted: str, field: str, value: Any
) -> None:
    spec = alone(pod_templates()["offbus-agent"], SERVER)
    spec["containers"][0]["securityContext"][field] = value
    with pytest.raises(Forbidden, match="violates PodSecurity"):
        await create(port, restricted, spec)
