"""What the undo of a fault's consequences leaves alone: alarms, quarantines, cordons, taints and repairs of others."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from offbus_steps.inject.step_types import INJECT_XID
from offbus_steps.nvsentinel import names
from offbus_steps.port import NotFound, Object, Ref
from offbus_steps.safety.guards import ClusterGuards
from offbus_steps.workloads.gpus import DEVICES_ANNOTATION, GPU_RESOURCE
from tests.kits.steps.bench import Bench
from tests.kits.steps.faults import TARGET
from tests.kits.steps.responder_marks import (
    condition_of,
    event,
    finding,
    lifted,
    quarantined,
    repair,
    state,
    taking_uncordons,
)
from tests.kits.steps.timed_port import TimedPort, deployment, node, ok, pod, put, timed_bench
from tests.kits.virtual_time import in_virtual_time, meanwhile

NODE, OTHER = Ref("Node", "node-1"), Ref("Node", "node-2")
PATIENCE_S = 30.0
CLEAR = "/clear"
OURS, OTHERS = event(), event("48", "GPU-2", id="e2")
OUR_ENTRY, OTHER_ENTRY = finding(), finding("48", "GPU-2")
ALARM = {**condition_of(finding("LOST", ""), check="FabricConnection")}
READY: Mapping[str, Any] = {"type": "Ready", "status": "True"}
BY_HAND: Mapping[str, Any] = {"spec": {"unschedulable": True}}
TAINT: Mapping[str, Any] = {"key": "maintenance", "value": "disk", "effect": "NoSchedule"}


@dataclass
class Undone:
    """What an undo did, and when it had ended."""

    results: list[str]
    node: Object
    external: dict[str, str | None]
    """Each difference in the fingerprint, and why it is somebody else's."""
    cleared: int
    """How often the responder's clear was asked for."""
    ended: float
    told: list[str]
    left: list[str]
    """Maintenance resources."""


def conditions(*found: Mapping[str, Any]) -> dict[str, Any]:
    return {"status": {"conditions": [READY, *found]}}


def gpu_node(name: str) -> Object:
    one = node(name)
    one["status"]["allocatable"] = {GPU_RESOURCE: "2"}
    return one


def gpu_pod() -> Object:
    one = pod("web-1", "web", "node-1")
    one["metadata"]["annotations"] = {DEVICES_ANNOTATION: json.dumps({"devices": {GPU_RESOURCE: ["GPU-1"]}})}
    one["spec"]["containers"][0]["resources"] = {"limits": {GPU_RESOURCE: "1"}}
    return one


class Agent:
    """An agent whose fault's line is in the kernel log, and which writes the clear when it is asked to."""

    def __init__(self) -> None:
        self.cleared = 0

    async def answer(self, _method: str, path: str, _body: Any) -> Any:
        if path == "/health":
            gpus = [{"index": 0, "uuid": "GPU-1", "pci": "0000:3b:00"}]
            return ok(
                json.dumps({"boot_id": "b", "now_ns": 0, "planes": {"kernel": {"ok": True}}, "gpus": gpus})
            )
        if path.endswith(CLEAR):
            self.cleared += 1
            return ok('{"lines": [{"line": "GPU reset executed"}], "left_out": []}')
        if path.partition("?")[0].endswith("/events"):
            await anyio.sleep(20)
            return ok('{"next": 0, "events": []}')
        if path == "/faults" and _method == "GET":
            return ok('{"faults": []}')
        fault = {"id": "f", "state": "armed", "xid": 79, "gpus": ["GPU-1"], "unread": []}
        fault["kernel"] = [{"seq": 1, "line": "Xid", "at_ns": 0}]
        return ok(json.dumps({**fault, "first_faulted": [], "processes": [], "counts": {}}), 201)


def play(port: TimedPort, at: Ref, what: Any) -> None:
    """Write a patch of a node, its conditions, or an object."""
    if "apiVersion" in what:
        put(port.store, what)
    elif "status" in what:
        port.store.set_status(at, {**port.store.get(at)["status"], **what["status"]})
    else:
        port.store.patch(at, what)


async def undone(
    folder: Path, *script: Any, at: Ref = NODE, before: tuple[Any, ...] = (), then: tuple[Any, ...] = ()
) -> Undone:
    """Inject an XID 79 on node-1, let others write, one write a second, then undo; `then` is written meanwhile."""
    objects = [gpu_node("node-1"), gpu_node("node-2"), deployment("web", 1), gpu_pod()]
    guards = ClusterGuards(real_remediation="allow", max_cordoned_nodes=2)
    async with timed_bench(folder, *objects, guards=guards) as (one, port):
        agent = Agent()
        port.agents.answer = agent.answer
        for what in before:
            play(port, at, what)
        was = await one.cluster.fingerprint()
        await one.run(INJECT_XID, target=TARGET, xid=79, patience=timedelta(seconds=PATIENCE_S))
        for what in script:
            await anyio.sleep(1)
            play(port, at, what)
        await anyio.sleep(1)
        began = anyio.current_time()
        writes = [(float(second), partial(play, port, at, what)) for second, what in enumerate(then, 1)]
        async with meanwhile(*writes), taking_uncordons(port.objects):
            results = [(await one.undo(undo, within_s=600)).result for undo in reversed(one.undos)]
        ended = anyio.current_time() - began
        now = await one.cluster.fingerprint()
        return Undone(
            results,
            port.store.get(NODE),
            external(one, was, now),
            agent.cleared,
            ended,
            [observed["to"] for observed in one.events("observed")],
            resources(port),
        )


def external(one: Bench, was: dict[str, Any], now: dict[str, Any]) -> dict[str, str | None]:
    """The differences, as the engine asks about them."""
    from offbus.runner.fingerprint_diff import differences, external_change_of

    environment: Any = one.cluster
    return {
        item: external_change_of(environment, item, was, now, one.undos) for item, _ in differences(was, now)
    }


def resources(port: TimedPort) -> list[str]:
    try:
        return [one["metadata"]["name"] for one in port.store.list("RebootNode").items]
    except NotFound:
        return []


def alarms(node: Object) -> dict[str, str]:
    return {
        one["type"]: one.get("message", "") for one in node["status"]["conditions"] if one["type"] != "Ready"
    }


def annotations(node: Object) -> dict[str, str]:
    found: dict[str, str] = node["metadata"].get("annotations") or {}
    return found


def labels(node: Object) -> dict[str, str]:
    found: dict[str, str] = node["metadata"].get("labels") or {}
    return found


def no_residue(done: Undone) -> None:
    assert set(done.results) <= {"restored", "nothing"}, done
    assert [item for item, why in done.external.items() if why is None] == []


@pytest.mark.guarantee("G3")
@in_virtual_time
async def test_another_monitors_alarm_stays_and_is_told(tmp_path: Path) -> None:
    done = await undone(tmp_path, conditions(ALARM))
    assert alarms(done.node) == {"FabricConnection": ALARM["message"]}
    assert "Node/node-1 condition FabricConnection" in done.external
    no_residue(done)


@in_virtual_time
async def test_another_monitors_alarm_is_no_answer_to_the_fault(tmp_path: Path) -> None:
    """So the responder is waited for, once, as if nothing were there."""
    done = await undone(tmp_path, conditions(ALARM))
    assert done.ended == PATIENCE_S
    assert done.cleared == 1


@pytest.mark.guarantee("G3")
@pytest.mark.parametrize("what", [conditions(ALARM), quarantined(OTHERS), {"spec": {"taints": [TAINT]}}])
@in_virtual_time
async def test_what_others_write_on_an_untouched_node_is_no_residue(tmp_path: Path, what: Any) -> None:
    done = await undone(tmp_path, what, at=OTHER)
    assert done.external
    no_residue(done)


@in_virtual_time
async def test_only_the_faults_own_entry_leaves_a_condition(tmp_path: Path) -> None:
    done = await undone(tmp_path, conditions(condition_of(OTHER_ENTRY, OUR_ENTRY)))
    assert alarms(done.node) == {names.XID_CHECK: OTHER_ENTRY}
    no_residue(done)


@in_virtual_time
async def test_an_entry_that_was_there_before_stays(tmp_path: Path) -> None:
    before = (conditions(condition_of(OTHER_ENTRY)),)
    done = await undone(tmp_path, conditions(condition_of(OTHER_ENTRY, OUR_ENTRY)), before=before)
    assert alarms(done.node) == {names.XID_CHECK: OTHER_ENTRY}
    assert done.external == {}
    no_residue(done)


@pytest.mark.guarantee("G3")
@in_virtual_time
async def test_a_quarantine_for_another_fault_stays_whole(tmp_path: Path) -> None:
    done = await undone(tmp_path, quarantined(OTHERS), state("drain-succeeded"), repair("e2"))
    assert done.node["spec"]["unschedulable"] is True
    assert json.loads(annotations(done.node)[names.QUARANTINE_EVENTS]) == [OTHERS]
    assert labels(done.node)[names.STATE_LABEL] == "drain-succeeded"
    assert done.left == ["maintenance-node-1-e2"]
    no_residue(done)


@pytest.mark.guarantee("G3")
@in_virtual_time
async def test_of_a_quarantine_for_two_faults_only_ours_is_removed(tmp_path: Path) -> None:
    done = await undone(tmp_path, quarantined(OTHERS), quarantined(OTHERS, OURS), repair("e2"), repair("e1"))
    assert done.node["spec"]["unschedulable"] is True
    assert json.loads(annotations(done.node)[names.QUARANTINE_EVENTS]) == [OTHERS]
    assert labels(done.node)[names.STATE_LABEL] == "quarantined"
    assert done.left == ["maintenance-node-1-e2"]
    no_residue(done)


@in_virtual_time
async def test_our_quarantine_goes_and_the_alarm_beside_it_stays(tmp_path: Path) -> None:
    marks = quarantined(OURS)
    done = await undone(tmp_path, conditions(condition_of(OUR_ENTRY), ALARM), marks, repair("e1"))
    assert alarms(done.node) == {"FabricConnection": ALARM["message"]}
    assert not done.node["spec"].get("unschedulable")
    assert annotations(done.node) == labels(done.node) == {}
    assert done.left == []
    no_residue(done)


@in_virtual_time
async def test_a_responder_that_lifts_ours_is_not_waited_for_because_of_an_alarm(tmp_path: Path) -> None:
    marks = (conditions(condition_of(OUR_ENTRY), ALARM), quarantined(OURS))
    done = await undone(tmp_path, *marks, then=(conditions(condition_of(), ALARM), lifted()))
    assert (done.ended, done.cleared) == (2.0, 0)
    assert not done.node["spec"].get("unschedulable")
    no_residue(done)


@pytest.mark.guarantee("G3")
@in_virtual_time
async def test_no_clear_is_sent_that_would_end_another_alarm_of_the_same_gpu(tmp_path: Path) -> None:
    """A reset line clears every fault of a GPU (nvsentinel.md, 1.5)."""
    other = finding("48", pci="0000:3b:00")
    done = await undone(tmp_path, conditions(condition_of(other, OUR_ENTRY)), quarantined(OURS))
    assert done.cleared == 0
    assert "clear not sent" in done.told
    assert alarms(done.node) == {names.XID_CHECK: other}
    no_residue(done)


@pytest.mark.guarantee("G3")
@in_virtual_time
async def test_a_cordon_by_hand_stays_and_is_no_residue(tmp_path: Path) -> None:
    done = await undone(tmp_path, BY_HAND)
    assert done.node["spec"]["unschedulable"] is True
    assert "Node/node-1 spec.unschedulable" in done.external
    no_residue(done)


@in_virtual_time
async def test_a_cordon_by_hand_outlives_the_quarantine_that_came_later(tmp_path: Path) -> None:
    done = await undone(tmp_path, BY_HAND, quarantined(OURS, cordoned_before=True))
    assert done.node["spec"]["unschedulable"] is True
    assert annotations(done.node) == labels(done.node) == {}
    no_residue(done)


@in_virtual_time
async def test_a_taint_of_somebody_elses_stays_and_the_responders_goes(tmp_path: Path) -> None:
    applied = {"Key": "gpu", "Value": "bad", "Effect": "NoSchedule"}
    marks = quarantined(OURS)
    marks["metadata"]["annotations"]["quarantineHealthEventAppliedTaints"] = json.dumps([applied])
    marks["spec"]["taints"] = [TAINT, {key.lower(): value for key, value in applied.items()}]
    done = await undone(tmp_path, marks)
    assert done.node["spec"]["taints"] == [TAINT]
    assert annotations(done.node) == labels(done.node) == {}
    no_residue(done)


@in_virtual_time
async def test_marks_of_another_quarantine_that_came_and_went_are_not_ours(tmp_path: Path) -> None:
    done = await undone(tmp_path, quarantined(OTHERS), lifted())
    assert labels(done.node) == {names.UNCORDON_BY: "NVSentinel"}
    no_residue(done)


@in_virtual_time
async def test_marks_that_a_lifted_quarantine_for_the_fault_leaves_are_removed(tmp_path: Path) -> None:
    done = await undone(tmp_path, quarantined(OURS), lifted())
    assert labels(done.node) == {}
    assert done.external == {}
    no_residue(done)


@in_virtual_time
async def test_marks_without_events_are_not_ours_when_nothing_of_the_fault_was_seen(tmp_path: Path) -> None:
    done = await undone(tmp_path, quarantined())
    assert done.node["spec"]["unschedulable"] is True
    no_residue(done)
