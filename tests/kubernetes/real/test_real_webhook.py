"""deploy/webhook on the real cluster: its own image and rights, a Service that kube-proxy serves, a pod that runs.

The cluster serves admission policies, so `prepare_cuda` would not go this way
(tests/kubernetes/webhook/test_webhook.py plays the step where they are not served); here the second way is gone on
purpose.
"""

from collections.abc import Iterator
from typing import Any

import anyio
import pytest

from offbus_steps.kubernetes.port import KubernetesPort
from offbus_steps.port import Ref
from offbus_steps.prepare.admission_kinds import POLICY, WEBHOOK
from offbus_steps.prepare.admission_methods import Admitted, supported_methods
from offbus_steps.testing.conformance.waiting import until
from offbus_steps.workloads.shim_mounts import VOLUMES
from offbus_steps.workloads.target import Target
from tests.kits.cluster.own_images import PYTHON_IMAGE, python_mounts
from tests.kits.kubernetes.installing import ClusterPaths, install, uninstall
from tests.kits.kubernetes.programs import SAY_MAPPED

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(400)]

LABELS = {"app": "webhooked"}


@pytest.fixture
def webhook(paths: ClusterPaths) -> Iterator[None]:
    """Deployed, and ready by its readiness probe."""
    install(paths, "webhook")
    yield
    uninstall(paths, "webhook")


def gpu_pod(
    name: str, namespace: str, labels: dict[str, str], by: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    """It says whether the shim is in its memory. `by` are its owners."""
    volumes, mounts, interpreter = python_mounts()
    container = {
        "name": "main",
        "image": PYTHON_IMAGE,
        "imagePullPolicy": "Never",
        "command": [interpreter, "-c", SAY_MAPPED],
        "volumeMounts": mounts,
        "resources": {"limits": {"nvidia.com/gpu": "1"}},
        "readinessProbe": {"exec": {"command": [interpreter, "-c", "pass"]}, "periodSeconds": 1},
    }
    meta = {"name": name, "namespace": namespace, "labels": labels, "ownerReferences": by or []}
    spec = {"containers": [container], "volumes": volumes, "terminationGracePeriodSeconds": 1}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


async def replica_set(port: KubernetesPort, namespace: str) -> list[dict[str, Any]]:
    """Called as Deployment t calls its own; as the owners of a pod. It is there, or the pod would be collected.

    It selects nothing, so its controller gives such a pod up and leaves it alone.
    """
    nothing = {"app": "nothing"}
    pod = {"metadata": {"labels": nothing}, "spec": gpu_pod("", namespace, nothing)["spec"]}
    made = await port.objects.create(
        {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {"name": "t-5d4f7c", "namespace": namespace},
            "spec": {"replicas": 0, "selector": {"matchLabels": nothing}, "template": pod},
        }
    )
    uid = made["metadata"]["uid"]
    return [
        {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "t-5d4f7c", "uid": uid, "controller": True}
    ]


async def said(port: KubernetesPort, pod: dict[str, Any]) -> str:
    """What the pod's process found in its memory."""
    await port.objects.create(pod)
    await until(port, Ref.of(pod), is_ready)
    return (await port.objects.logs(Ref.of(pod))).strip()


def is_ready(pod: dict[str, Any]) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


async def test_the_deployed_webhook_loads_the_shim_into_the_targets_pods_alone(
    webhook: None, port: KubernetesPort, namespace: str
) -> None:
    target = Target(kind="Deployment", name="t", namespace=namespace, port=1, selector=LABELS)
    cluster: Any = type("ClusterPaths", (), {"port": port})
    methods = await supported_methods(cluster, Admitted(f"offbus-{namespace}", "testrun1", target, {}))
    assert ([method.kind for method in methods.supported], methods.missing) == ([POLICY, WEBHOOK], ())
    (configuration,) = methods.supported[1].objects
    own = await replica_set(port, namespace)
    assert await said(port, gpu_pod("before", namespace, LABELS, own)) == "no shim"
    await port.objects.create(configuration)
    try:
        probe = {"generateName": "probe-", "namespace": namespace, "labels": LABELS, "ownerReferences": own}
        with anyio.fail_after(60):
            while not await is_loaded(  # noqa: ASYNC110  what admission does cannot be watched
                port, {**gpu_pod("probe", namespace, LABELS), "metadata": probe}
            ):
                await anyio.sleep(0.1)
        assert await said(port, gpu_pod("mine", namespace, LABELS, own)) == "shim mapped"
        assert await said(port, gpu_pod("strangers", namespace, LABELS)) == "no shim"
        assert await said(port, gpu_pod("other", namespace, {"app": "other"})) == "no shim"
    finally:
        await port.objects.delete(Ref.of(configuration))


async def is_loaded(port: KubernetesPort, pod: dict[str, Any]) -> bool:
    shown = await port.objects.create(pod, dry_run=True)
    return any(one in shown["spec"]["volumes"] for one in VOLUMES)
