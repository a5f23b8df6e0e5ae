"""The gateway of deploy/ has a runner's roles, and finds with them whose pod runs on a node."""

from typing import Any

import anyio
import pytest

from offbus_steps.gateway.target import workload_of_pod
from offbus_steps.kubernetes.port import KubernetesPort
from offbus_steps.port import Forbidden, NotFound, Ref
from tests.kits.kubernetes.deployed import deployed
from tests.kits.kubernetes.kubernetes_world import PortFor, Users, bind_role

pytestmark = pytest.mark.anyio

WATCHDOG_S = 60
LABELS = {"app": "llm"}
TEMPLATE = {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "main", "image": "none"}]}}


async def made(
    port: KubernetesPort, kind: str, name: str, namespace: str, **owners: Any
) -> list[dict[str, Any]]:
    """An apps/v1 workload without pods; as the owners of what it makes."""
    spec = {"replicas": 0, "selector": {"matchLabels": LABELS}, "template": TEMPLATE}
    meta = {"name": name, "namespace": namespace, **owners}
    obj = await port.objects.create({"apiVersion": "apps/v1", "kind": kind, "metadata": meta, "spec": spec})
    uid = obj["metadata"]["uid"]
    return [{"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": uid, "controller": True}]


async def learnt(port: KubernetesPort, namespace: str) -> None:
    """Until the server's authorizer knows the roles."""
    with anyio.fail_after(WATCHDOG_S):
        while True:
            try:
                await port.objects.get(Ref("ConfigMap", "none", namespace))
            except Forbidden:
                await anyio.sleep(0.1)  # nobody tells when
            except NotFound:
                return


async def test_with_the_roles_of_deploy_it_finds_whose_a_pod_is(
    port: KubernetesPort, port_for: PortFor, namespace: str
) -> None:
    roles = {one["metadata"]["name"]: one for one in deployed("base") if one["kind"] == "ClusterRole"}
    await bind_role(port, roles["offbus-runner"], Users.GATEWAY, "")
    await bind_role(port, roles["offbus-runner-drill"], Users.GATEWAY, namespace)
    by = await made(port, "Deployment", "llm", namespace)
    by = await made(port, "ReplicaSet", "llm-5d4f7c", namespace, ownerReferences=by)
    pod = {"metadata": {"name": "llm-5d4f7c-x", "namespace": namespace, "ownerReferences": by}}
    async with port_for(Users.GATEWAY) as its:
        await learnt(its, namespace)
        assert await workload_of_pod(its.objects, pod) == Ref("Deployment", "llm", namespace)
