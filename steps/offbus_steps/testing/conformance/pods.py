"""Pods: they run, become ready, log, are deleted and evicted, and budgets hold evictions back."""
# ruff: noqa: S101  this is a test suite that ships

from collections.abc import Callable

import pytest

from offbus_steps.port import Conflict, NotFound, Object, Port, Ref, TooManyDisruptions
from offbus_steps.testing.conformance.manifests import budget
from offbus_steps.testing.conformance.objects import WRONG_UID
from offbus_steps.testing.conformance.waiting import gone, until
from offbus_steps.workloads.pods import is_ready

__all__ = ["PodsConformance", "ServerPod", "running"]

ServerPod = Callable[..., Object]


class PodsConformance:
    """See the package's docstring for the fixtures."""

    async def test_a_pod_runs_and_says_where(self, port: Port, namespace: str, server_pod: ServerPod) -> None:
        pod = await running(port, namespace, server_pod("runs"))
        assert pod["spec"]["nodeName"]
        assert pod["status"]["phase"] == "Running"
        assert pod["status"]["podIP"]
        assert [c["ready"] for c in pod["status"]["containerStatuses"]] == [True]

    async def test_a_pod_that_is_not_ready_says_so(
        self, port: Port, namespace: str, server_pod: ServerPod
    ) -> None:
        ref = await created(port, namespace, server_pod("unready", ready=False))
        pod = await until(port, ref, lambda p: p["status"]["phase"] == "Running")
        assert not is_ready(pod)

    async def test_a_deleted_pod_goes(self, port: Port, namespace: str, server_pod: ServerPod) -> None:
        pod = await running(port, namespace, server_pod("goes"))
        await port.objects.delete(Ref("Pod", "goes", namespace), uid=pod["metadata"]["uid"], grace_seconds=1)
        await gone(port, Ref("Pod", "goes", namespace))

    async def test_an_evicted_pod_goes(self, port: Port, namespace: str, server_pod: ServerPod) -> None:
        pod = await running(port, namespace, server_pod("evicted"))
        ref = Ref("Pod", "evicted", namespace)
        with pytest.raises(Conflict):
            await port.objects.evict(ref, uid=WRONG_UID)
        await port.objects.evict(ref, uid=pod["metadata"]["uid"])
        await gone(port, ref)

    async def test_a_budget_holds_an_eviction_back(
        self, port: Port, namespace: str, server_pod: ServerPod
    ) -> None:
        await port.objects.create(budget(namespace, "held", minimum=1))
        await running(port, namespace, server_pod("held"))
        ref = Ref("Pod", "held", namespace)
        held = Ref("PodDisruptionBudget", "held", namespace)
        await until(port, held, lambda budget: budget.get("status", {}).get("currentHealthy") == 1)
        with pytest.raises(TooManyDisruptions):
            await port.objects.evict(ref)
        await port.objects.patch(held, {"spec": {"minAvailable": 0}})
        await until(port, held, lambda budget: budget.get("status", {}).get("disruptionsAllowed") == 1)
        await port.objects.evict(ref)
        await gone(port, ref)

    async def test_evicting_a_missing_pod_is_not_found(self, port: Port, namespace: str) -> None:
        with pytest.raises(NotFound):
            await port.objects.evict(Ref("Pod", "missing", namespace))

    async def test_a_log_is_read(self, port: Port, namespace: str, server_pod: ServerPod) -> None:
        await running(port, namespace, server_pod("logs"))
        ref = Ref("Pod", "logs", namespace)
        async with port.traffic.stream(ref, "GET", "/", port=8080, timeout=30) as reply:
            await reply.read()
        text = await port.objects.logs(ref)
        assert text
        (container,) = (await port.objects.get(ref))["spec"]["containers"]
        assert await port.objects.logs(ref, container=container["name"])
        assert len((await port.objects.logs(ref, tail=1)).splitlines()) == 1
        with pytest.raises(NotFound):
            await port.objects.logs(Ref("Pod", "missing", namespace))


async def created(port: Port, namespace: str, pod: Object) -> Ref:
    """Create a pod."""
    made = await port.objects.create({**pod, "metadata": {**pod["metadata"], "namespace": namespace}})
    return Ref("Pod", made["metadata"]["name"], namespace)


async def running(port: Port, namespace: str, pod: Object) -> Object:
    """Create a pod, and wait until it is ready."""
    return await until(port, await created(port, namespace, pod), is_ready)
