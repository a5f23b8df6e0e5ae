"""Records of what a responder did to a node: a hostile one restores nothing that is not of the run's own fault."""

import json
from pathlib import Path
from typing import Any

import pytest

from offbus.errors import StepError
from offbus_steps.nvsentinel import names
from tests.kits.steps.responder_marks import taking_uncordons
from tests.kits.steps.timed_port import TimedPort, error, node, timed_bench
from tests.kits.virtual_time import in_virtual_time
from tests.steps.test_hostile_undo_records import NODE, consequences, faulted


async def cleared(
    folder: Path, obj: dict[str, Any], answer: Any, **record: Any
) -> tuple[str, dict[str, Any], dict[str, Any], TimedPort]:
    """Play the undo; what it said, the node before and after."""
    async with timed_bench(folder, obj) as (bench, port):
        port.agents.answer = answer
        before = port.store.get(NODE)
        async with taking_uncordons(port.objects):
            result = await bench.undo(consequences(uid=before["metadata"]["uid"], **record), within_s=600)
        return result.result, before, port.store.get(NODE), port


TAINT = {"key": "dedicated", "value": "team-a", "effect": "NoSchedule"}
FORGED = {
    "labels": {names.STATE_LABEL: "quarantined", names.CORDON_BY: "x"},
    "annotations": {names.CORDONED_ANNOTATION: "True"},
}


@pytest.mark.guarantee("G27")
@pytest.mark.parametrize(
    ("record", "expected"),
    [({}, "nothing"), ({"cordoned": True}, "conflict"), (FORGED, "conflict")],
    ids=["its taints", "a cordon", "marks of a responder"],
)
@in_virtual_time
async def test_a_node_that_no_responder_has_marked_is_left_alone(
    tmp_path: Path, record: dict[str, Any], expected: str
) -> None:
    obj = node("node-1")
    obj["spec"] = {**obj.get("spec", {}), "taints": [TAINT]}
    result, before, after, _ = await cleared(tmp_path, obj, faulted, **record)
    assert (result, after) == (expected, before)


@pytest.mark.guarantee("G27")
@in_virtual_time
async def test_of_a_marked_nodes_taints_only_the_responders_go(tmp_path: Path) -> None:
    obj = node("node-1")
    applied = {"key": "nvsentinel", "value": "x", "effect": "NoSchedule"}
    obj["spec"] = {**obj.get("spec", {}), "taints": [TAINT, applied], "unschedulable": True}
    said = '[{"Key": "nvsentinel", "Value": "x", "Effect": "NoSchedule"}]'
    obj["metadata"]["annotations"] = {
        names.CORDONED_ANNOTATION: "True",
        names.APPLIED_TAINTS: said,
    }
    result, _, after, _ = await cleared(tmp_path, obj, faulted)
    assert (result, after["spec"]["taints"]) == ("restored", [TAINT])
    assert not after["spec"].get("unschedulable")
    assert not after["metadata"].get("annotations")


@pytest.mark.guarantee("G27")
@in_virtual_time
async def test_a_fault_that_the_agent_never_had_has_no_consequences(tmp_path: Path) -> None:
    """A real quarantine stays."""

    async def unknown(_method: str, _path: str, _body: Any) -> Any:
        return error(404, "no_such_fault")

    obj = node("node-1")
    obj["metadata"]["labels"] = {names.STATE_LABEL: "quarantined"}
    obj["metadata"]["annotations"] = {names.CORDONED_ANNOTATION: "True"}
    obj["spec"] = {**obj.get("spec", {}), "unschedulable": True}
    result, before, after, _ = await cleared(tmp_path, obj, unknown)
    assert (result, after) == ("nothing", before)


def quarantined(uuid: str, code: str) -> dict[str, Any]:
    """A node that the responder holds for one finding."""
    entity = {"entityType": "GPU_UUID", "entityValue": uuid}
    event = {"id": "1", "checkName": names.XID_CHECK, "errorCode": [code], "entitiesImpacted": [entity]}
    obj = node("node-1")
    obj["metadata"]["labels"] = {names.STATE_LABEL: "quarantined"}
    obj["metadata"]["annotations"] = {
        names.CORDONED_ANNOTATION: "True",
        names.QUARANTINE_EVENTS: json.dumps([event]),
    }
    obj["spec"] = {**obj.get("spec", {}), "unschedulable": True}
    return obj


REAL = {"codes": ["48"], "uuids": ["GPU-9"], "pcis": ["0000:99:00"]}


RECORDED = pytest.mark.parametrize("record", [{}, {"cause": REAL}], ids=["no cause", "another GPU's"])


@pytest.mark.guarantee("G27")
@RECORDED
@in_virtual_time
async def test_a_quarantine_for_what_the_agent_never_faulted_stays(
    tmp_path: Path, record: dict[str, Any]
) -> None:
    result, before, after, _ = await cleared(tmp_path, quarantined("GPU-9", "48"), faulted, **record)
    assert (result, after) == ("nothing", before)


@RECORDED
@in_virtual_time
async def test_a_quarantine_for_what_the_agent_did_fault_goes(tmp_path: Path, record: dict[str, Any]) -> None:
    """So do those of runs that 0.1.0 began, which recorded no cause."""
    result, _, after, _ = await cleared(tmp_path, quarantined("GPU-1", "79"), faulted, **record)
    assert (result, after["spec"].get("unschedulable")) == ("restored", None)


@in_virtual_time
async def test_without_a_cause_and_without_an_agent_nobody_knows_what_is_the_faults(tmp_path: Path) -> None:
    async with timed_bench(tmp_path, quarantined("GPU-9", "48")) as (bench, port):
        before = port.store.get(NODE)
        with pytest.raises(StepError):
            await bench.undo(consequences(uid=before["metadata"]["uid"]), within_s=600)
        assert port.store.get(NODE) == before


@in_virtual_time
async def test_an_agent_that_refuses_the_owner_is_asked_about_the_fault_all_the_same(tmp_path: Path) -> None:
    """Its epoch, a record's run may choose, too: a refusal is no reason to believe the record."""

    async def refuses(method: str, path: str, body: Any) -> Any:
        return error(409, "stale_epoch") if method == "POST" else await faulted(method, path, body)

    result, before, after, _ = await cleared(tmp_path, quarantined("GPU-9", "48"), refuses, cause=REAL)
    assert (result, after) == ("nothing", before)
