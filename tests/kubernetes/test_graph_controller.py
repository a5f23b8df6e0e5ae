"""The tests' own DynamoGraphDeployment controller does what the operator does, and fights where it is told to."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from offbus_steps.kubernetes.port import KubernetesPort
from offbus_steps.kubernetes.rest.api import Call
from offbus_steps.port import Object, Ref
from offbus_steps.testing.conformance.waiting import until
from tests.kits.kubernetes.graph_controller import GraphController

pytestmark = pytest.mark.anyio

MAIN = {"name": "main", "image": "none"}
ALPHA = {
    "services": {
        "Frontend": {"componentType": "frontend", "extraPodSpec": {"mainContainer": {"image": "none"}}},
        "Worker": {
            "componentType": "worker",
            "replicas": 2,
            "resources": {"limits": {"gpu": "1"}},
            "extraPodSpec": {"mainContainer": {"image": "none"}},
        },
    }
}
GPU = {"limits": {"nvidia.com/gpu": "1"}}
BETA = {
    "components": [
        {"name": "Frontend", "type": "frontend", "podTemplate": {"spec": {"containers": [MAIN]}}},
        {
            "name": "Worker",
            "type": "decode",
            "replicas": 2,
            "podTemplate": {"spec": {"containers": [{**MAIN, "resources": GPU}]}},
        },
    ]
}


@asynccontextmanager
async def controlling(port: KubernetesPort, *, fights: bool) -> AsyncIterator[GraphController]:
    controller = GraphController(port, fights=fights)
    async with anyio.create_task_group() as group:
        group.start_soon(controller.run)
        yield controller
        group.cancel_scope.cancel()


async def made(port: KubernetesPort, namespace: str, version: str, spec: dict[str, Any]) -> None:
    graph = {"apiVersion": f"nvidia.com/{version}", "kind": "DynamoGraphDeployment", "spec": spec}
    await port.objects.create({**graph, "metadata": {"name": "g", "namespace": namespace}})


@pytest.mark.parametrize(
    ("version", "spec", "kind"),
    [("v1alpha1", ALPHA, "worker"), ("v1beta1", BETA, "decode")],
    ids=["alpha", "beta"],
)
async def test_a_graph_becomes_deployments_with_the_operators_labels(
    port: KubernetesPort, namespace: str, version: str, spec: dict[str, Any], kind: str
) -> None:
    async with controlling(port, fights=False):
        await made(port, namespace, version, spec)
        worker = await until(port, Ref("Deployment", "g-worker", namespace), always)
        await until(port, Ref("DynamoGraphDeployment", "g", namespace), reported)
    template = worker["spec"]["template"]
    assert worker["spec"]["replicas"] == 2
    assert template["metadata"]["labels"]["nvidia.com/dynamo-component-type"] == kind
    assert template["metadata"]["labels"]["nvidia.com/dynamo-component-class"] == "worker"
    assert template["spec"]["containers"][0]["resources"]["limits"] == {"nvidia.com/gpu": "1"}
    service = await port.api.json(Call("GET", f"/api/v1/namespaces/{namespace}/services/g-frontend"))
    assert service["spec"]["ports"][0]["port"] == 8000


async def test_a_foreign_change_is_put_back_when_it_fights(port: KubernetesPort, namespace: str) -> None:
    ref = Ref("Deployment", "g-worker", namespace)
    async with controlling(port, fights=True) as controller:
        await made(port, namespace, "v1alpha1", ALPHA)
        await until(port, ref, always)
        await until(port, Ref("DynamoGraphDeployment", "g", namespace), reported)
        await port.objects.patch(ref, {"spec": {"replicas": 7}})
        await until(port, ref, replicas(2))
        assert controller.reverted == [ref]


async def test_a_foreign_change_stays_when_it_does_not_fight(port: KubernetesPort, namespace: str) -> None:
    ref, graph = Ref("Deployment", "g-worker", namespace), Ref("DynamoGraphDeployment", "g", namespace)
    async with controlling(port, fights=False) as controller:
        await made(port, namespace, "v1alpha1", ALPHA)
        await until(port, ref, always)
        await port.objects.patch(ref, {"spec": {"replicas": 7}})
        changed = await port.objects.patch(graph, {"metadata": {"annotations": {"seen": "yes"}}})
        await until(
            port, graph, lambda one: reported(one) and one["metadata"]["uid"] == changed["metadata"]["uid"]
        )
        assert (await port.objects.get(ref))["spec"]["replicas"] == 7
        assert not controller.reverted


def always(_obj: Object) -> bool:
    return True


def reported(graph: Object) -> bool:
    return bool((graph.get("status") or {}).get("state") == "pending")


def replicas(count: int) -> Callable[[Object], bool]:
    return lambda deployment: deployment["spec"]["replicas"] == count
