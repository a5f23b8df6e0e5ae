"""Only an alarm with this fault's check, code and entity, after its injection, is its detection."""

from pathlib import Path

import pytest

from offbus_steps.observe.step_types import (
    AWAIT_DETECTION,
)
from offbus_steps.port import Object, Ref
from tests.kits.steps.faults import FAULT
from tests.kits.steps.own_consequences import SAID, Conditions, never, seen, told
from tests.kits.steps.responder_marks import (
    condition_of,
    finding,
    reported,
)
from tests.kits.virtual_time import in_virtual_time

FOREIGN_CONDITIONS = {
    "another check": Conditions([condition_of(finding(), check="GpuNvlinkWatch")]),
    "another code": Conditions([condition_of(finding("48"))]),
    "another GPU": Conditions([condition_of(finding(uuid="GPU-2"))]),
    "no GPU": Conditions([condition_of(finding(uuid=""))]),
    "words without facts": Conditions([condition_of("lost its connection GPU_UUID:GPU-1 ErrorCode:79;")]),
    "a reason of its own": Conditions([{**condition_of(finding()), "reason": "OthersIsNotHealthy"}]),
    "an all-clear": Conditions([{**condition_of(), "message": finding()}]),
}


@in_virtual_time
async def test_an_event_is_no_detection_of_a_fault_that_is_fatal(tmp_path: Path) -> None:
    """Whoever may write Events can write one; what a responder finds fatal it says in a condition of the node."""
    await never(tmp_path, AWAIT_DETECTION, reported(told()), actions=["RESTART_BM"])


@pytest.mark.parametrize("actions", [[], ["NONE"], ["NONE", "COMPONENT_RESET"]])
@in_virtual_time
async def test_it_is_one_of_a_fault_that_may_not_be(tmp_path: Path, actions: list[str]) -> None:
    found, _ = await seen(tmp_path, AWAIT_DETECTION, reported(told()), actions=actions)
    assert not found.fatal


@pytest.mark.guarantee("G24")
@pytest.mark.parametrize("foreign", FOREIGN_CONDITIONS.values(), ids=FOREIGN_CONDITIONS.keys())
@in_virtual_time
async def test_another_alarm_is_no_detection(tmp_path: Path, foreign: Conditions) -> None:
    await never(tmp_path, AWAIT_DETECTION, foreign)


@in_virtual_time
async def test_an_alarm_of_another_node_is_no_detection(tmp_path: Path) -> None:
    await never(tmp_path, AWAIT_DETECTION, Conditions([condition_of(finding())]), at=Ref("Node", "node-2"))


@pytest.mark.guarantee("G24")
@in_virtual_time
async def test_an_alarm_from_before_the_injection_is_no_detection(tmp_path: Path) -> None:
    ours = condition_of(finding())
    again = {**ours, "lastHeartbeatTime": "2026-01-01T00:00:00Z"}
    await never(tmp_path, AWAIT_DETECTION, Conditions([again]), before=(Conditions([ours]),))


@in_virtual_time
async def test_a_fault_is_found_beside_an_alarm_that_was_there(tmp_path: Path) -> None:
    """The condition's status does not change, its entries do."""
    others = finding("48", "GPU-2")
    both = Conditions([condition_of(others, finding())])
    found, metrics = await seen(tmp_path, AWAIT_DETECTION, both, before=(Conditions([condition_of(others)]),))
    assert (found.fatal, found.told) == (True, "SysLogsXIDError True")
    assert metrics["time_to_detect"] == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(
    "foreign",
    [reported(told("94", "GPU-2")), reported(told("31")), reported(told("94"), node="node-2")],
    ids=["another GPU", "another code", "another node"],
)
@in_virtual_time
async def test_an_event_about_another_fault_is_no_detection(tmp_path: Path, foreign: Object) -> None:
    await never(tmp_path, AWAIT_DETECTION, foreign, xid=94)


@in_virtual_time
async def test_an_event_about_the_fault_is_its_detection(tmp_path: Path) -> None:
    found, _ = await seen(tmp_path, AWAIT_DETECTION, reported(told("94")), xid=94)
    assert (found.fatal, found.told) == (False, "event SysLogsXIDError")


NOT_READ = {
    "another drill's line": SAID.replace(f"={FAULT.id} ", "=abcd1234-inject-0123456789 "),
    "a longer id": SAID.replace(f"={FAULT.id} ", f"={FAULT.id}f "),
    "the beginning of an id": SAID.replace(f"={FAULT.id} ", "= "),
    "a line of the driver": SAID.replace(f"offbus={FAULT.id} .", ""),
    "no line": "",
    "the id behind other words": f"NVRM: Xid (PCI:0000:3b:00): 94, {SAID}",
    "many guesses": f"MESSAGE=offbus=e .offbus={FAULT.id} .NVRM: Xid (PCI:0000:3b:00): 94, said",
}


@pytest.mark.guarantee("G24")
@pytest.mark.parametrize("said", NOT_READ.values(), ids=NOT_READ.keys())
@in_virtual_time
async def test_an_event_of_who_has_not_read_the_nodes_kernel_log_is_no_detection(
    tmp_path: Path, said: str
) -> None:
    """Every node's kubelet may write Events about all nodes, with any source. The fault's id it does not know."""
    await never(tmp_path, AWAIT_DETECTION, reported(told("94", said=said)), xid=94)


@pytest.mark.parametrize("said", [SAID, SAID.removeprefix("MESSAGE="), SAID.replace(" .", " ;")])
@in_virtual_time
async def test_it_may_repeat_the_line_with_or_without_the_journals_word(tmp_path: Path, said: str) -> None:
    found, _ = await seen(tmp_path, AWAIT_DETECTION, reported(told("94", said=said)), xid=94)
    assert not found.fatal
