"""Undos of a fault's consequences, which wait for a responder, on virtual time."""

import json
from datetime import timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import anyio
import pytest

from offbus.errors import StepError
from offbus_sandbox.store.history import Change
from offbus_steps.inject.undo_consequences import ClearConsequences
from offbus_steps.nvsentinel import names
from offbus_steps.nvsentinel.cause import Cause
from offbus_steps.port import Object, Ref
from tests.kits.steps.responder_marks import taking_uncordons
from tests.kits.steps.timed_port import TimedPort, error, node, ok, timed_bench
from tests.kits.virtual_time import in_virtual_time, meanwhile

NODE = Ref("Node", "node-1")
CAUSE = Cause.of(79, ["GPU-1"], [])
PATIENCE_S = 30.0
QUARANTINE = {
    "metadata": {
        "labels": {names.STATE_LABEL: "quarantined"},
        "annotations": {names.CORDONED_ANNOTATION: "True"},
    },
    "spec": {"unschedulable": True},
}
LIFTED = {
    "metadata": {
        "labels": {names.STATE_LABEL: None},
        "annotations": {names.CORDONED_ANNOTATION: None},
    },
    "spec": {"unschedulable": None},
}


def agent(*, clears: bool) -> Any:
    """An agent with a fault whose line is in the kernel log."""

    async def answer(_method: str, path: str, _body: Any) -> Any:
        if path.endswith("/clear"):
            return ok('{"lines": ["Xid 0"]}') if clears else error(409, "no_metadata")
        fault = {"id": "f", "state": "armed", "xid": 79, "gpus": ["GPU-1"]}
        return ok(json.dumps({**fault, "kernel": [{"seq": 1, "line": "Xid", "at_ns": 0}]}))

    return answer


async def cleared(
    folder: Path, *script: tuple[float, Any], clears: bool = True
) -> tuple[str, float, TimedPort]:
    """Play the undo while the node is patched at these times, by a responder that takes an uncordon.

    What it said, and when it ended.
    """
    async with timed_bench(folder, node("node-1")) as (one, port):
        port.agents.answer = agent(clears=clears)
        patience = timedelta(seconds=PATIENCE_S)
        undo = ClearConsequences.before(
            port.store.get(NODE), fault="f", cause=CAUSE, expected=True, patience=patience, maintenance=()
        )
        writes = ((at, partial(port.store.patch, NODE, patch)) for at, patch in script)
        async with meanwhile(*writes), taking_uncordons(port.objects):
            result = await one.undo(undo, within_s=600)
        after = port.store.get(NODE)
        assert not after["spec"].get("unschedulable")
        assert not after["metadata"].get("labels")
        assert not after["metadata"].get("annotations")
        return result.detail, anyio.current_time(), port


CLEAR = "POST /faults/f/clear"


@in_virtual_time
async def test_a_responder_that_does_not_react_is_waited_for_once_and_told_the_all_clear(
    tmp_path: Path,
) -> None:
    said, ended, port = await cleared(tmp_path)
    assert (said, ended) == ("there were no consequences", PATIENCE_S)
    assert port.agents.times(CLEAR) == [PATIENCE_S]


@in_virtual_time
async def test_a_responder_that_lifts_its_quarantine_is_waited_for(tmp_path: Path) -> None:
    said, ended, port = await cleared(tmp_path, (29.0, QUARANTINE), (58.0, LIFTED))
    assert (said, ended) == ("the responder lifted its quarantine", 58.0)
    assert port.agents.times(CLEAR) == []


@pytest.mark.timer("steps/offbus_steps/inject/lift_quarantine.py")
@in_virtual_time
async def test_a_responder_that_does_not_lift_is_sent_its_clear_and_waited_for_again(tmp_path: Path) -> None:
    said, ended, port = await cleared(tmp_path, (10.0, QUARANTINE), (69.0, LIFTED))
    assert (said, ended) == ("the responder lifted its quarantine after its clear was sent", 69.0)
    assert port.agents.times(CLEAR) == [10 + PATIENCE_S]


CANCELLED = "the responder cancelled its quarantine when the node was uncordoned"


@pytest.mark.guarantee("G8")
@pytest.mark.timer("steps/offbus_steps/inject/lift_quarantine.py")
@in_virtual_time
async def test_a_responder_that_never_lifts_is_made_to_cancel_its_event(tmp_path: Path) -> None:
    said, ended, _ = await cleared(tmp_path, (10.0, QUARANTINE))
    assert (said, ended) == (CANCELLED, 10 + 2 * PATIENCE_S)


@in_virtual_time
async def test_a_clear_that_cannot_be_sent_is_not_waited_for(tmp_path: Path) -> None:
    said, ended, _ = await cleared(tmp_path, (10.0, QUARANTINE), clears=False)
    assert (said, ended) == (CANCELLED, 10 + PATIENCE_S)


@pytest.mark.guarantee("G31")
@pytest.mark.timer("steps/offbus_steps/inject/lift_quarantine.py")
@in_virtual_time
async def test_a_responder_that_does_not_answer_keeps_its_marks_and_what_it_may_do_is_told(
    tmp_path: Path,
) -> None:
    """Its event lives on: without its marks it would have the node rebooted after "residue: none"."""
    async with timed_bench(tmp_path, node("node-1")) as (one, port):
        port.agents.answer = agent(clears=True)
        patience = timedelta(seconds=PATIENCE_S)
        undo = ClearConsequences.before(
            port.store.get(NODE), fault="f", cause=CAUSE, expected=True, patience=patience, maintenance=()
        )
        async with meanwhile((10.0, partial(port.store.patch, NODE, QUARANTINE))):
            result = await one.undo(undo, within_s=600)
        assert result.result == "conflict"
        assert "may drain the node and have it rebooted" in result.detail
        assert "kubectl cordon node-1 && kubectl uncordon node-1" in result.detail
        assert "kubectl annotate node node-1 quarantineHealthEventIsCordoned-;" in result.detail
        assert anyio.current_time() == 10 + 3 * PATIENCE_S
        after = port.store.get(NODE)
        assert after["metadata"]["annotations"] == {names.CORDONED_ANNOTATION: "True"}
        assert not after["spec"].get("unschedulable")
        async with taking_uncordons(port.objects):  # it is there again, and so is the undo
            assert (await one.undo(undo, within_s=600)).detail == CANCELLED
        after = port.store.get(NODE)
        assert not after["metadata"].get("annotations")
        assert not after["metadata"].get("labels")


@in_virtual_time
async def test_a_node_that_was_cordoned_before_is_never_open_to_pods(tmp_path: Path) -> None:
    cordoned = node("node-1", unschedulable=True)
    async with timed_bench(tmp_path, cordoned) as (one, port):
        port.agents.answer = agent(clears=False)
        undo = ClearConsequences.before(
            port.store.get(NODE),
            fault="f",
            cause=CAUSE,
            expected=True,
            patience=timedelta(seconds=PATIENCE_S),
            maintenance=(),
        )
        pre_existing = {names.CORDONED_ANNOTATION: "True", names.CORDON_PRE_EXISTING: "True"}
        port.store.patch(NODE, {"metadata": {"annotations": pre_existing}})
        open_to_pods: list[Object] = []

        def look(change: Change) -> None:
            spec = change.object.get("spec") or {}
            if change.object["kind"] == "Node" and not spec.get("unschedulable") and not spec.get("taints"):
                open_to_pods.append(change.object)

        port.store.listen(look)
        async with taking_uncordons(port.objects):
            assert (await one.undo(undo, within_s=600)).detail == CANCELLED
        assert open_to_pods == []
        after = port.store.get(NODE)
        assert after["spec"] == cordoned["spec"]
        assert not after["metadata"].get("annotations")


@in_virtual_time
async def test_a_final_state_is_not_waited_for(tmp_path: Path) -> None:
    final = {"metadata": {"labels": {names.STATE_LABEL: names.NodeState.DRAIN_FAILED}}}
    _, ended, port = await cleared(tmp_path, (10.0, QUARANTINE), (12.0, final))
    assert port.agents.times(CLEAR) == [12.0]
    assert ended == 12 + PATIENCE_S


@in_virtual_time
async def test_what_a_kubelet_reports_meanwhile_is_not_called_cleared(tmp_path: Path) -> None:
    async with timed_bench(tmp_path, node("node-1")) as (one, port):
        undo = ClearConsequences.before(
            port.store.get(NODE),
            fault="f",
            cause=CAUSE,
            expected=False,
            patience=timedelta(0),
            maintenance=(),
        )
        read, beats = port.objects.get, iter("ab")

        async def read_before_a_report(ref: Ref) -> Object:
            found = await read(ref)
            for beat in islice(beats, 1):
                ready = {"type": "Ready", "status": "True", "lastHeartbeatTime": beat}
                port.store.set_status(NODE, {"conditions": [ready]})
            return found

        port.objects.get = read_before_a_report
        assert (await one.undo(undo)).detail == "there were no consequences"
        assert list(beats) == []


@pytest.mark.guarantee("G27")
@in_virtual_time
async def test_maintenance_that_stays_is_not_called_removed(tmp_path: Path) -> None:
    labels = dict([names.MANAGED_BY])
    reboot = {
        "apiVersion": "janitor.dgxc.nvidia.com/v1alpha1",
        "kind": "RebootNode",
        "metadata": {"name": "r1", "labels": labels},
        "spec": {"nodeName": "node-1"},
    }
    marked = node("node-1")
    marked["metadata"] |= QUARANTINE["metadata"]
    async with timed_bench(tmp_path, marked, reboot) as (one, port):
        port.agents.answer = agent(clears=False)
        asked: list[str] = []

        async def held(ref: Ref, *, uid: str = "", grace_seconds: int | None = None) -> None:
            del ref, grace_seconds
            asked.append(uid)  # a finalizer keeps it

        port.objects.delete = held
        undo = ClearConsequences.before(
            node("node-1")
            | {"metadata": port.store.get(NODE)["metadata"] | {"labels": {}, "annotations": {}}},
            fault="f",
            cause=CAUSE,
            expected=False,
            patience=timedelta(seconds=1),
            maintenance=(),
        )
        async with taking_uncordons(port.objects):
            with pytest.raises(StepError, match="RebootNode/r1 is still there"):
                await one.undo(undo)
        uid = port.store.get(Ref("RebootNode", "r1"))["metadata"]["uid"]
        assert asked == [uid, uid], "withdrawn before the uncordon, and looked for again after it"
