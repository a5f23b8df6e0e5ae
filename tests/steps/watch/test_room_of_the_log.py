"""What others may change as often and as long as they like is held in memory to a bound, and the run says so."""

from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from offbus_steps.nvsentinel import names
from offbus_steps.port import Object, Ref
from offbus_steps.watch.event_log import ROOM as ROOM_OF_A_RUN
from offbus_steps.watch.event_log import Observations, World
from offbus_steps.watch.projections import project
from tests.kits.steps.timed_port import node, timed_bench
from tests.kits.virtual_time import in_virtual_time

NODE = Ref("Node", "node-1")
LONG = 100_000
ROOM = 1 << 20


def marked(text: str) -> Object:
    """A node whose kubelet has written into the annotation of the responder."""
    one = node("node-1")
    one["metadata"]["annotations"] = {names.QUARANTINE_EVENTS: text}
    return one


def conditioned(text: str) -> Object:
    one = node("node-1")
    one["status"] = {"conditions": [{"type": "Ready", "status": "True", "reason": text}]}
    return one


def labelled(text: str) -> Object:
    metadata: dict[str, Any] = {"name": "p", "namespace": "d", "uid": "u", "labels": {text: ""}}
    return {"kind": "Pod", "metadata": metadata, "spec": {"containers": [{"name": "c"}]}, "status": {}}


def contained(text: str) -> Object:
    listed = [{"name": f"c{number}"} for number in range(len(text) // 500)]
    metadata = {"name": "p", "namespace": "d", "uid": "u", "labels": {"seen": text[:10]}}
    return {
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"containers": listed},
        "status": {"containerStatuses": listed},
    }


def status_of(text: str) -> Object:
    one = node("node-1")
    one["status"] = {"conditions": [{"type": "Ready", "status": text}]}
    return one


def tainted(text: str) -> Object:
    one = node("node-1")
    one["spec"] = {"taints": [{"key": "k", "value": text, "effect": "NoSchedule"}]}
    return one


def phased(text: str) -> Object:
    return labelled("l") | {"status": {"phase": text}}


def requesting(text: str) -> Object:
    """Kinds of GPUs without end."""
    names = [f"nvidia.com/mig-{text[:6]}-{number}" for number in range(len(text) // 24)]
    limits = dict.fromkeys(names, "1")
    return labelled("l") | {"spec": {"containers": [{"name": "c", "resources": {"limits": limits}}]}}


def repairing(text: str) -> Object:
    uuids = [f"GPU-{text[:6]}-{number}" for number in range(len(text) // 20)]
    return {
        "kind": "GPUReset",
        "metadata": {"name": "maintenance-r", "labels": dict([names.MANAGED_BY])},
        "spec": {"nodeName": "node-1", "selector": {"uuids": uuids}},
    }


@pytest.mark.parametrize(
    "make", [marked, conditioned, labelled, contained, status_of, tainted, phased, requesting, repairing]
)
def test_what_is_long_takes_room_whatever_field_it_is_in(make: Any) -> None:
    log = Observations()
    log.room = ROOM
    fits = []
    for number in range(100):
        now = project(make(f"{number:06}" + "x" * LONG))
        assert now is not None
        fits.append(log.append(now.ref, log.world.projections.get(now.ref), now, ()))
    assert 1 <= fits.count(True) < 100
    assert fits == sorted(fits, reverse=True), "after one that has no room another has"
    assert log.mark() == fits.count(True)
    assert list(log.world.projections.values()) == [now], "what is newest is known"


def test_what_is_there_at_first_takes_room_too() -> None:
    log = Observations()
    first = project(marked("x" * LONG))
    assert first is not None
    log.seed(first)
    assert log.room <= ROOM_OF_A_RUN - LONG


@in_virtual_time
async def test_who_waits_for_a_state_is_woken_by_a_full_log() -> None:
    log = Observations()
    log.room = 0

    def quarantined(world: World) -> bool | None:
        found = world.node("node-1")
        return True if found is not None and found.annotations else None

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(log.until, quarantined)
            await anyio.lowlevel.checkpoint()
            assert log.append(NODE, None, project(marked("[]")), ()) is False


@in_virtual_time
async def test_a_run_whose_log_is_full_is_stopped_and_says_why(tmp_path: Path) -> None:
    async with timed_bench(tmp_path, node("node-1")) as (one, port):
        log = one.cluster.observer.log
        log.room = ROOM
        for number in range(30):
            marks = {names.QUARANTINE_EVENTS: f"{number:06}" + "x" * LONG}
            port.store.patch(NODE, {"metadata": {"annotations": marks}})
            await anyio.sleep(1)
        assert one.aborted
        assert "more has changed than" in one.aborted[0]
        assert "Node/node-1" in one.aborted[0]
        assert log.mark() <= ROOM // LONG
