"""What lies between a runner and the API server drops a connection without a word: watches notice, drills say so."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path

import anyio
import pytest

from offbus_steps.kubernetes.port import KubernetesPort, open_port
from offbus_steps.kubernetes.rest import watch_stream
from offbus_steps.kubernetes.rest.connection import Login
from offbus_steps.port import Object, Ref, Silent, WatchEvent, WatchType
from tests.kits.kubernetes.lone_server import LoneServer
from tests.kits.kubernetes.silent_relay import SilentRelay, relayed
from tests.kits.steps.bench import Bench, bench_on

pytestmark = pytest.mark.anyio

WATCHDOG_S = 120
NODE = "silent-1"


@pytest.fixture
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A watch is asked to last 4 s instead of a minute, so that its silence shows in 5 s."""
    monkeypatch.setattr(watch_stream, "ASKED_S", (4, 4))
    monkeypatch.setattr(watch_stream, "SLACK_S", 1.0)


@pytest.fixture
async def through(server: LoneServer, tmp_path: Path) -> AsyncIterator[tuple[SilentRelay, KubernetesPort]]:
    """A relay, and a port through it."""
    async with (
        relayed(server, tmp_path) as (relay, kubeconfig),
        open_port(Login(str(kubeconfig)), qps=500, burst=1000) as port,
    ):
        yield relay, port


@pytest.mark.usefixtures("_soon")
async def test_a_dropped_watch_is_silent_and_goes_on_where_it_stopped(
    through: tuple[SilentRelay, KubernetesPort], port: KubernetesPort, namespace: str
) -> None:
    relay, far = through
    version = (await far.objects.list("Lease", namespace=namespace)).resource_version
    await port.objects.create(lease(namespace, "before"))
    with anyio.fail_after(WATCHDOG_S):
        async with aclosing(leases(far, namespace, version)) as events:
            before = await changed(events)
            relay.drop()
            await port.objects.create(lease(namespace, "in-silence"))
            with pytest.raises(Silent, match="nothing came for"):
                await changed(events)
        version = before["metadata"]["resourceVersion"]
        async with aclosing(leases(far, namespace, version)) as events:
            missed = await changed(events)
    assert [one["metadata"]["name"] for one in (before, missed)] == ["before", "in-silence"]


@pytest.mark.guarantee("G23")
@pytest.mark.usefixtures("_soon")
async def test_a_quiet_watch_is_not_silent(
    through: tuple[SilentRelay, KubernetesPort], port: KubernetesPort, namespace: str
) -> None:
    """Neither one with bookmarks nor one from now, as that of a run's Lease: its end is its only sign of life."""
    _, far = through
    version = (await far.objects.list("Lease", namespace=namespace)).resource_version
    seen = []

    async def follow() -> None:
        async with aclosing(leases(far, namespace, "")) as events:
            seen.append(await changed(events))

    with anyio.fail_after(WATCHDOG_S):
        async with anyio.create_task_group() as tasks, aclosing(leases(far, namespace, version)) as beside:
            tasks.start_soon(follow)
            for _ in range(2):  # one for each time that the server ends it
                assert (await anext(beside)).type is WatchType.BOOKMARK
            await port.objects.create(lease(namespace, "late"))
    assert [one["metadata"]["name"] for one in seen] == ["late"]


def lease(namespace: str, name: str) -> Object:
    meta = {"name": name, "namespace": namespace}
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta}


def leases(port: KubernetesPort, namespace: str, version: str) -> AsyncGenerator[WatchEvent, None]:
    return port.objects.watch("Lease", namespace=namespace, resource_version=version)


async def changed(events: AsyncGenerator[WatchEvent, None]) -> Object:
    """The next change, bookmarks aside."""
    async for event in events:
        if event.type is not WatchType.BOOKMARK:
            return event.object
    raise AssertionError("a watch ended by itself")


@pytest.mark.guarantee("G23")
async def test_a_drill_says_what_it_could_not_see(
    through: tuple[SilentRelay, KubernetesPort], port: KubernetesPort, tmp_path: Path
) -> None:
    """The bound has not passed yet: that the watch is dropped shows only by what the API server has."""
    relay, far = through
    await port.objects.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}})
    try:
        async with bench_on(far, tmp_path) as one:
            await seen_cordoned(one, port, True)
            relay.drop()  # the watch alone: no other connection is open now
            await port.objects.patch(Ref("Node", NODE), {"spec": {"unschedulable": False}})
            why = await one.cluster.missed_changes()
            assert why is not None
            assert "the watch of Node objects told nothing for" in why
            assert cordoned(one), "as it was"
    finally:
        await port.objects.delete(Ref("Node", NODE))


@pytest.mark.guarantee("G23")
@pytest.mark.usefixtures("_soon")
async def test_what_happened_in_silence_is_seen_afterwards(
    through: tuple[SilentRelay, KubernetesPort], port: KubernetesPort, tmp_path: Path
) -> None:
    relay, far = through
    await port.objects.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}})
    try:
        async with bench_on(far, tmp_path) as one:
            await seen_cordoned(one, port, True)
            relay.drop()
            for value in (False, True, False):
                await port.objects.patch(Ref("Node", NODE), {"spec": {"unschedulable": value}})
            with anyio.fail_after(WATCHDOG_S):
                await one.cluster.log.until(lambda _: not cordoned(one) or None)
            told = [event["to"] for event in one.events("observed") if event["lane"] in ("watch", "node")]
            told = [to for to in told if "cordoned" in to or "silent" in to]
            assert told.pop(1).startswith("silent for ")
            assert told == ["cordoned", "uncordoned", "cordoned", "uncordoned"]
            assert await one.cluster.missed_changes() is None
            assert one.aborted == []
    finally:
        await port.objects.delete(Ref("Node", NODE))


async def seen_cordoned(one: Bench, port: KubernetesPort, value: bool) -> None:
    """The drill has seen a change: its watch is open."""
    await port.objects.patch(Ref("Node", NODE), {"spec": {"unschedulable": value}})
    await one.cluster.log.until(lambda _: cordoned(one) is value or None)


def cordoned(one: Bench) -> bool:
    """Whether the drill has seen it."""
    node = one.cluster.log.world.node(NODE)
    return node is not None and node.cordoned
