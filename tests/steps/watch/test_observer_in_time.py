"""The observer on virtual time: how it comes back to an API server that was away, and when it gives up."""

from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import pytest

from offbus_steps.port import Gone, ObjectList, Ref
from offbus_steps.watch.follow import BLIND_AFTER, LONGEST_PAUSE
from offbus_steps.watch.scope import FIRST_PAUSE
from tests.kits.steps.bench import Bench, bench_on
from tests.kits.steps.timed_port import TimedObjects, TimedPort, node, put, timed_bench
from tests.kits.virtual_time import VirtualClock, in_virtual_time

NODE = Ref("Node", "node-1")


def tries(port: TimedPort, since: float = 0) -> list[float]:
    """When the nodes were asked for after a moment."""
    return port.objects.times("list Node", "watch Node", since=since)


def pauses(at: list[float]) -> list[float]:
    return [round(after - before, 6) for before, after in pairwise(at)]


@pytest.mark.timer("steps/offbus_steps/watch/follow.py")
@in_virtual_time
async def test_the_pause_doubles_up_to_the_longest(tmp_path: Path) -> None:
    async with timed_bench(tmp_path, node("node-1")) as (one, port):
        await anyio.sleep(100)
        port.objects.leave()
        await anyio.sleep(30)
        found = pauses([100, *tries(port, since=100)])
        assert found[:8] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
        assert (found[0], max(found)) == (FIRST_PAUSE, LONGEST_PAUSE)
        assert one.aborted == []


@pytest.mark.timer("steps/offbus_steps/watch/follow.py")
@in_virtual_time
async def test_a_server_that_is_heard_again_begins_with_the_first_pause(tmp_path: Path) -> None:
    async with timed_bench(tmp_path, node("node-1")) as (one, port):
        port.objects.leave()
        await anyio.sleep(30)
        port.objects.come_back()
        await anyio.sleep(LONGEST_PAUSE)
        port.store.patch(NODE, {"spec": {"unschedulable": True}})
        await one.cluster.log.until(lambda world: (world.nodes() and world.node("node-1").cordoned) or None)
        began = anyio.current_time()
        port.objects.leave()
        await anyio.sleep(3)
        assert pauses([began, *tries(port, since=began)])[:3] == [0.1, 0.2, 0.4]
        assert one.aborted == []


@in_virtual_time
async def test_what_changed_meanwhile_is_seen_where_the_watch_stopped(tmp_path: Path) -> None:
    async with timed_bench(tmp_path, node("node-1")) as (one, port):
        await anyio.sleep(1)
        port.objects.leave()
        for cordoned in (True, False, True):
            port.store.patch(NODE, {"spec": {"unschedulable": cordoned}})
        await anyio.sleep(10)
        port.objects.come_back()
        await anyio.sleep(LONGEST_PAUSE)
        told = [event["to"] for event in one.events("observed") if event["lane"] == "node"]
        assert told == ["cordoned", "uncordoned", "cordoned"]
        assert len(port.objects.times("list Node")) == 1, "it need not be listed again"


@pytest.mark.guarantee("G9")
@pytest.mark.timer("steps/offbus_steps/watch/follow.py")
@in_virtual_time
async def test_a_cluster_that_cannot_be_watched_for_a_minute_stops_the_run(tmp_path: Path) -> None:
    async with timed_bench(tmp_path, node("node-1")) as (one, port):
        await anyio.sleep(600)  # quiet, which is not blind
        port.objects.leave()
        await one.stopped.wait()
        blind = anyio.current_time() - 600
        assert BLIND_AFTER < blind <= BLIND_AFTER + LONGEST_PAUSE
        assert "cannot watch Node objects any more" in one.aborted[0]


@in_virtual_time
async def test_a_watch_that_breaks_off_now_and_then_is_not_blind(tmp_path: Path) -> None:
    async with timed_bench(tmp_path, node("node-1")) as (one, port):
        for _ in range(5):
            await anyio.sleep(600)
            port.objects.leave()
            await anyio.sleep(BLIND_AFTER - LONGEST_PAUSE)
            port.objects.come_back()
        await anyio.sleep(600)
        assert one.aborted == []


@in_virtual_time
async def test_how_long_an_adapter_has_tried_by_itself_counts(tmp_path: Path) -> None:
    """A watch of Kubernetes goes on by itself for a minute before it says so."""
    async with timed_bench(tmp_path, node("node-1")) as (one, port):
        await anyio.sleep(600)
        port.objects.leave(away_s=BLIND_AFTER + 1)
        await one.stopped.wait()
        assert anyio.current_time() == 600


@in_virtual_time
async def test_a_watch_that_is_gone_lists_again_at_once(tmp_path: Path) -> None:
    async with timed_bench(tmp_path, node("node-1")) as (one, port):
        await anyio.sleep(100)
        put(port.store, node("node-2"))
        for number in range(20):  # more than the server remembers, while nobody reads
            port.store.patch(NODE, {"spec": {"unschedulable": number % 2 == 0}})
        port.store.remove(NODE)
        await one.cluster.log.until(lambda world: world.node("node-2") and True)
        assert anyio.current_time() == 100
        assert tries(port, since=100)[-1] == 100
        assert len(port.objects.times("list Node")) == 2
        assert one.cluster.log.world.node("node-1") is None
        assert one.aborted == []


SILENT_S = 75.0


def told_of(one: Bench, *lanes: str) -> list[str]:
    """What the timeline says in these lanes."""
    return [event["to"] for event in one.events("observed") if event["lane"] in lanes]


@in_virtual_time
async def test_a_watch_that_was_silent_is_told_and_misses_nothing(tmp_path: Path) -> None:
    async with timed_bench(tmp_path, node("node-1")) as (one, port):
        await anyio.sleep(100)
        port.objects.drop_watches(noticed_after_s=SILENT_S)
        for cordoned in (True, False, True):
            port.store.patch(NODE, {"spec": {"unschedulable": cordoned}})
        await anyio.sleep(SILENT_S + 1)
        assert told_of(one, "watch", "node") == ["silent for 75 s", "cordoned", "uncordoned", "cordoned"]
        [silent] = [event for event in one.events("observed") if event["lane"] == "watch"]
        assert (silent["subject"], silent["evidence"]) == ("Node objects", {"silent_s": SILENT_S})
        assert one.aborted == [], "the path may be whole for new connections"


@pytest.mark.timer("steps/offbus_steps/watch/scope.py")
@in_virtual_time
async def test_what_the_watches_have_told_is_not_missed(tmp_path: Path) -> None:
    async with timed_bench(tmp_path, node("node-1"), node("node-2")) as (one, port):
        port.store.patch(NODE, {"spec": {"unschedulable": True}})
        port.store.remove(Ref("Node", "node-2"))
        assert await one.cluster.missed_changes() is None
        port.objects.drop_watches(noticed_after_s=SILENT_S)
        await anyio.sleep(SILENT_S - 1)
        assert await one.cluster.missed_changes() is None, "it was silent, and there was nothing to tell"


def heartbeat(port: TimedPort) -> None:
    """A change of which drills see nothing: only its version says that the watch should have told it."""
    port.store.patch(NODE, {"status": {"nodeInfo": {"bootID": "b"}}}, status=True)


@pytest.mark.guarantee("G23")
@pytest.mark.timer("steps/offbus_steps/watch/scope.py")
@in_virtual_time
@pytest.mark.parametrize(
    "change",
    [
        lambda port: port.store.patch(NODE, {"spec": {"unschedulable": True}}),
        heartbeat,
        lambda port: port.store.remove(NODE),
        lambda port: put(port.store, node("node-2")),
    ],
    ids=["changed", "came and went", "deleted", "new"],
)
async def test_what_a_silent_watch_did_not_tell_is_missed(
    tmp_path: Path, change: Callable[[TimedPort], object]
) -> None:
    async with timed_bench(tmp_path, node("node-1")) as (one, port):
        await anyio.sleep(100)
        port.objects.drop_watches(noticed_after_s=SILENT_S)
        change(port)
        await anyio.sleep(40)
        why = await one.cluster.missed_changes()
        assert why is not None
        assert "the watch of Node objects told nothing for 145 s" in why
        assert "the API server has changes that it did not tell" in why
        await anyio.sleep(SILENT_S)
        assert await one.cluster.missed_changes() is None, "it was resumed"


@in_virtual_time
async def test_a_cluster_that_cannot_be_asked_may_have_changes(tmp_path: Path) -> None:
    async with timed_bench(tmp_path, node("node-1")) as (one, port):
        port.objects.leave()
        why = await one.cluster.missed_changes()
        assert why == "Node objects cannot be listed: the API server is away"


class Paged(TimedObjects):
    """Nodes in parts of one; `gone` times the server has forgotten where the rest is, after two of them."""

    gone = 0

    async def pages(self, kind: str, **where: Any) -> AsyncIterator[ObjectList]:
        """In parts."""
        listing = self.store.list(kind, **where)
        self.note(f"pages {kind}")
        for number, one in enumerate(listing.items):
            if self.gone and number == 2:
                self.gone -= 1
                raise Gone("the continue token is too old")
            yield ObjectList([one], listing.resource_version)


@in_virtual_time
@pytest.mark.parametrize("gone", [0, 1, 2, 3, 7])
async def test_what_is_watched_is_listed_in_parts_and_again_when_that_takes_too_long(
    tmp_path: Path, gone: int
) -> None:
    """However often: a watch tries on, until it is blind."""
    port = TimedPort(tmp_path)
    port.store.close()
    port.objects = objects = Paged(tmp_path)
    objects.gone = gone
    for number in range(5):
        put(port.store, node(f"node-{number}"))
    async with bench_on(port, tmp_path, clock=VirtualClock()) as one:
        assert [view.ref.name for view in one.cluster.log.world.nodes()] == [f"node-{n}" for n in range(5)]
        assert objects.times("list Node") == [], "never in one piece"
        port.store.patch(Ref("Node", "node-4"), {"spec": {"unschedulable": True}})
        await anyio.sleep(1)
        assert [view.ref.name for view in one.cluster.log.world.nodes() if view.cordoned] == ["node-4"]
    port.store.close()
