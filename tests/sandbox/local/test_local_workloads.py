"""Deployments and graphs: rolled out, repaired, moved and removed."""

from collections.abc import Iterable
from typing import Any

import anyio
import pytest

from offbus_sandbox.adapter.port import LocalPort
from offbus_sandbox.config import SandboxConfig
from offbus_sandbox.layout import Layout
from offbus_steps.port import Forbidden, NotFound, Object, PortError, Ref, WatchType
from offbus_steps.testing.conformance.waiting import WATCHDOG_S, gone, until
from offbus_steps.workloads.gpus import held_gpus
from offbus_steps.workloads.pods import is_ready
from offbus_steps.workloads.workload_kinds import workload_of
from tests.kits.sandbox.local_cluster import SLEEP, deployment

pytestmark = pytest.mark.anyio

WEB = Ref("Deployment", "web", "test")
GRAPH = Ref("DynamoGraphDeployment", "g", "test")


def rolled_out(obj: Object) -> bool:
    """As drills judge it."""
    return workload_of(obj).rolled_out


def graph(*, workers: int = 1, command: Iterable[str] = SLEEP, **service: Any) -> Object:
    """A graph of a frontend that serves HTTP and workers with one GPU each; nobody probes the workers."""
    serve = ["python3", "-m", "http.server", "8000", "--bind", "$(POD_IP)"]
    front = {"command": serve, "readinessProbe": {"httpGet": {"path": "/", "port": "http"}}}
    worker = {"command": list(command), "readinessProbe": None}
    services = {
        "Frontend": {"componentType": "frontend", "extraPodSpec": {"mainContainer": front}},
        "Worker": {
            "componentType": "worker",
            "replicas": workers,
            "resources": {"limits": {"gpu": "1"}},
            "extraPodSpec": {"mainContainer": worker, "terminationGracePeriodSeconds": 1},
            **service,
        },
    }
    meta = {"name": "g", "namespace": "test"}
    spec = {"services": services, "envs": [{"name": "SHARED", "value": "graph"}]}
    return {
        "apiVersion": "nvidia.com/v1alpha1",
        "kind": "DynamoGraphDeployment",
        "metadata": meta,
        "spec": spec,
    }


async def pods_of(port: LocalPort, labels: str) -> list[Object]:
    """The pods that are not on their way out."""
    found = (await port.objects.list("Pod", namespace="test", labels=labels)).items
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]


async def replaced(port: LocalPort, version: str) -> None:
    """The Deployment lacked a pod after this version, and has all of them again; it may be for a moment only."""
    lacked = False
    with anyio.fail_after(WATCHDOG_S):
        async for event in port.objects.watch(WEB.kind, namespace="test", resource_version=version):
            if event.type is not WatchType.BOOKMARK:
                if lacked and rolled_out(event.object):
                    return
                lacked = lacked or not rolled_out(event.object)


async def test_a_deleted_pod_is_replaced(port: LocalPort) -> None:
    await port.objects.create(deployment("web", 2, SLEEP))
    await until(port, WEB, rolled_out)
    first, second = await pods_of(port, "app=web")
    version = (await port.objects.list(WEB.kind, namespace="test")).resource_version
    await port.objects.delete(Ref.of(first), grace_seconds=0)
    await replaced(port, version)
    names = {pod["metadata"]["name"] for pod in await pods_of(port, "app=web")}
    assert second["metadata"]["name"] in names
    assert first["metadata"]["name"] not in names
    assert len(names) == 2


async def test_a_deleted_deployment_takes_everything_with_it(port: LocalPort) -> None:
    await port.objects.create(deployment("web", 2, SLEEP))
    await until(port, WEB, rolled_out)
    pods = await pods_of(port, "app=web")
    await port.objects.delete(WEB)
    for pod in pods:
        await gone(port, Ref.of(pod))
    assert (await port.objects.list("ReplicaSet", namespace="test")).items == []
    assert await port.strays() == []


async def test_a_deleted_namespace_goes_with_all_that_is_in_it(port: LocalPort) -> None:
    await port.objects.create(deployment("web", 2, SLEEP))
    await until(port, WEB, rolled_out)
    space = Ref("Namespace", "test")
    await port.objects.delete(space)
    with pytest.raises(Forbidden, match="terminated"):
        await port.objects.create(deployment("late", 1, SLEEP))
    await gone(port, space)
    for kind in ("Deployment", "ReplicaSet", "Pod"):
        assert (await port.objects.list(kind, namespace="test")).items == []
    assert await port.strays() == []


async def test_a_deployment_scales(port: LocalPort) -> None:
    await port.objects.create(deployment("web", 1, SLEEP))
    await until(port, WEB, rolled_out)
    for replicas in (3, 0):
        await port.objects.patch(WEB, {"spec": {"replicas": replicas}})
        await until(port, WEB, lambda d, n=replicas: rolled_out(d) and d["status"]["replicas"] == n)


async def test_a_cordoned_node_gets_no_pods_and_an_evicted_pod_moves(port: LocalPort) -> None:
    await port.objects.create(deployment("web", 1, SLEEP))
    await until(port, WEB, rolled_out)
    (pod,) = await pods_of(port, "app=web")
    node = Ref("Node", pod["spec"]["nodeName"])
    await port.objects.patch(node, {"spec": {"unschedulable": True}})
    await port.objects.evict(Ref.of(pod))
    await gone(port, Ref.of(pod))
    await until(port, WEB, rolled_out)
    (moved,) = await pods_of(port, "app=web")
    assert moved["spec"]["nodeName"] != node.name


async def test_a_no_execute_taint_empties_a_node(port: LocalPort) -> None:
    await port.objects.create(deployment("web", 2, SLEEP))
    await until(port, WEB, rolled_out)
    there = [pod for pod in await pods_of(port, "app=web") if pod["spec"]["nodeName"] == "node-1"]
    assert there
    taint = {"key": "gpu", "value": "lost", "effect": "NoExecute"}
    await port.objects.patch(Ref("Node", "node-1"), {"spec": {"taints": [taint]}})
    for pod in there:  # not "until it is rolled out no more": that state may be over before it is looked for
        await gone(port, Ref.of(pod))
    await until(port, WEB, rolled_out)
    assert {pod["spec"]["nodeName"] for pod in await pods_of(port, "app=web")} == {"node-2"}


async def test_a_graph_becomes_what_the_operator_would_make_of_it(port: LocalPort) -> None:
    await port.objects.create(graph(workers=2, envs=[{"name": "SHARED", "value": "service"}]))
    ready = await until(port, GRAPH, rolled_out)
    workers = await pods_of(port, "nvidia.com/dynamo-component-class=worker")
    assert ready["status"]["state"] == "successful"
    assert ready["status"]["services"]["Worker"]["readyReplicas"] == 2
    assert {pod["spec"]["nodeName"] for pod in workers} == {"node-1", "node-2"}
    for pod in workers:
        labels, main = pod["metadata"]["labels"], pod["spec"]["containers"][0]
        assert labels["nvidia.com/dynamo-graph-deployment-name"] == "g"
        assert labels["nvidia.com/dynamo-component"] == "Worker"
        assert labels["nvidia.com/dynamo-component-type"] == "worker"
        assert labels["nvidia.com/dynamo-namespace"] == "test-g"
        assert main["name"] == "main"
        assert {"name": "SHARED", "value": "service"} in main["env"]
        assert main["ports"] == [{"name": "system", "containerPort": 9090}]
        assert len(held_gpus(pod)) == 1


async def test_a_graph_is_reached_through_its_frontends(port: LocalPort, layout: Layout) -> None:
    with pytest.raises(NotFound):
        await ask(port, GRAPH)
    await port.objects.create(graph())
    await until(port, GRAPH, rolled_out)
    assert await ask(port, GRAPH) == 200
    (front,) = await pods_of(port, "nvidia.com/dynamo-component-type=frontend")
    await port.objects.patch(GRAPH, {"spec": {"services": {"Frontend": {"replicas": 0}}}})
    await gone(port, Ref.of(front))
    with pytest.raises(PortError, match="no ready frontend"):
        await ask(port, GRAPH)


async def ask(port: LocalPort, to: Ref) -> int:
    """The status of one request."""
    async with port.traffic.stream(to, "GET", "/", port=8000, timeout=30) as reply:
        return reply.status


class TestRollingWhereGpusAreShort:
    """Two nodes with one GPU each, both in use: a new pod has to wait for an old one's."""

    @pytest.fixture
    def config(self, config: SandboxConfig) -> SandboxConfig:
        return config.model_copy(update={"nodes": 2, "gpus_per_node": 1})

    async def test_a_graph_rolls_by_taking_one_away_first(self, port: LocalPort) -> None:
        await port.objects.create(graph(workers=2))
        await until(port, GRAPH, rolled_out)
        before = {pod["metadata"]["uid"] for pod in await pods_of(port, "nvidia.com/dynamo-component=Worker")}
        change = {"spec": {"services": {"Worker": {"envs": [{"name": "NEW", "value": "1"}]}}}}
        fewest: list[int] = []

        def watch_ready(obj: Object) -> bool:
            fewest.append(obj["status"]["services"]["Worker"]["readyReplicas"])
            return rolled_out(obj)

        await port.objects.patch(GRAPH, change)
        await until(port, GRAPH, watch_ready)
        after = await pods_of(port, "nvidia.com/dynamo-component=Worker")
        assert not before & {pod["metadata"]["uid"] for pod in after}
        assert all(is_ready(pod) for pod in after)
        assert min(fewest) >= 1

    async def test_a_graph_without_room_says_so(self, port: LocalPort) -> None:
        await port.objects.create(graph(workers=3))
        waiting = await until(port, GRAPH, lambda g: "insufficient_capacity" in str(g["status"]))
        assert waiting["status"]["state"] == "pending"

    async def test_a_service_that_was_taken_out_is_removed(self, port: LocalPort) -> None:
        await port.objects.create(graph())
        await until(port, GRAPH, rolled_out)
        (worker,) = await pods_of(port, "nvidia.com/dynamo-component=Worker")
        await port.objects.patch(GRAPH, {"spec": {"services": {"Worker": None}}})
        await gone(port, Ref.of(worker))
        with pytest.raises(NotFound):
            await port.objects.get(Ref("Deployment", "g-worker", "test"))
