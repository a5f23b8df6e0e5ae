"""Only what carries this fault's check, code and entity, after its injection and from the responder, passes a step."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from offbus.errors import StepFailed
from offbus_steps.observe.await_quarantine import DETECTED_WITHIN
from offbus_steps.observe.step_types import (
    AWAIT_CORDON,
    AWAIT_DRAIN,
    AWAIT_REMEDIATION,
    AWAIT_UNCORDON,
)
from offbus_steps.port import Ref
from tests.kits.steps.own_consequences import (
    BY_HAND,
    OTHERS,
    Conditions,
    never,
    repaired,
    seen,
)
from tests.kits.steps.responder_marks import (
    condition_of,
    event,
    finding,
    lifted,
    quarantined,
    repair,
    state,
)
from tests.kits.virtual_time import in_virtual_time

FOREIGN_CORDONS: Mapping[str, tuple[Any, ...]] = {
    "by hand": (BY_HAND,),
    "for another fault": (quarantined(OTHERS),),
    "for another check": (quarantined(event(check="GpuNvlinkWatch")),),
    "for nothing": (quarantined(),),
    "labels alone": ({"metadata": {"labels": {"k8saas.nvidia.com/cordon-by": "me"}}, **BY_HAND},),
    "marks that cannot be read": (
        {"metadata": {"annotations": {"quarantineHealthEvent": "[" * 5000}}, **BY_HAND},
        {"metadata": {"annotations": {"quarantineHealthEvent": '[{"checkName": 7}, 4, null]'}}, **BY_HAND},
    ),
}


@pytest.mark.guarantee("G24")
@pytest.mark.parametrize("foreign", FOREIGN_CORDONS.values(), ids=FOREIGN_CORDONS.keys())
@in_virtual_time
async def test_a_cordon_for_something_else_passes_nothing(tmp_path: Path, foreign: tuple[Any, ...]) -> None:
    await never(tmp_path, AWAIT_CORDON, *foreign)


@in_virtual_time
async def test_a_quarantine_from_before_the_injection_is_no_answer(tmp_path: Path) -> None:
    await never(tmp_path, AWAIT_CORDON, state("draining"), before=(quarantined(event()),))


@in_virtual_time
async def test_the_responders_cordon_for_the_fault_counts(tmp_path: Path) -> None:
    found, metrics = await seen(
        tmp_path, AWAIT_CORDON, Conditions([condition_of(finding())]), quarantined(event())
    )
    assert found.after == timedelta(seconds=metrics["time_to_cordon"])
    assert metrics == {
        "time_to_detect": pytest.approx(1, abs=0.01),
        "time_to_cordon": pytest.approx(2, abs=0.01),
    }


@pytest.mark.timer("steps/offbus_steps/observe/await_quarantine.py")
@in_virtual_time
async def test_the_condition_may_come_after_the_cordon(tmp_path: Path) -> None:
    """They come by independent ways (nvsentinel-observed.md)."""
    _, metrics = await seen(
        tmp_path, AWAIT_CORDON, quarantined(event()), Conditions([condition_of(finding())])
    )
    assert metrics == {
        "time_to_cordon": pytest.approx(1, abs=0.01),
        "time_to_detect": pytest.approx(2, abs=0.01),
    }


@pytest.mark.timer("steps/offbus_steps/observe/await_quarantine.py")
@in_virtual_time
async def test_a_condition_that_does_not_come_holds_the_step_up_for_a_moment(tmp_path: Path) -> None:
    _, metrics = await seen(tmp_path, AWAIT_CORDON, quarantined(event()))
    assert metrics == {"time_to_cordon": pytest.approx(1, abs=0.01)}
    assert anyio.current_time() == pytest.approx(1 + DETECTED_WITHIN.total_seconds(), abs=0.1)


@in_virtual_time
async def test_the_events_may_come_after_the_cordon(tmp_path: Path) -> None:
    """The annotation is empty for a moment (nvsentinel-observed.md)."""
    _, metrics = await seen(tmp_path, AWAIT_CORDON, quarantined(), quarantined(event()))
    assert metrics["time_to_cordon"] == pytest.approx(1, abs=0.01)


@in_virtual_time
async def test_an_annotation_of_one_event_is_read(tmp_path: Path) -> None:
    """As older releases write it."""
    old = quarantined(event())
    old["metadata"]["annotations"]["quarantineHealthEvent"] = old["metadata"]["annotations"][
        "quarantineHealthEvent"
    ][1:-1]
    _, metrics = await seen(tmp_path, AWAIT_CORDON, old)
    assert metrics["time_to_cordon"] == pytest.approx(1, abs=0.01)


CORDONED_EARLIER: Mapping[str, tuple[Any, ...]] = {
    "by hand": (BY_HAND, quarantined(event(), cordoned_before=True)),
    "for another fault": (quarantined(OTHERS), quarantined(OTHERS, event())),
}


@pytest.mark.guarantee("G24")
@pytest.mark.parametrize("script", CORDONED_EARLIER.values(), ids=CORDONED_EARLIER.keys())
@in_virtual_time
async def test_another_cordon_is_not_timed_as_the_faults_own(tmp_path: Path, script: tuple[Any, ...]) -> None:
    """The responder does hold the node for this fault, too; but it was cordoned for something else."""
    found, metrics = await seen(tmp_path, AWAIT_CORDON, *script)
    assert found.after is None
    assert "time_to_cordon" not in metrics


FOREIGN_DRAINS: Mapping[str, tuple[Any, ...]] = {
    "no quarantine": (state("drain-succeeded"),),
    "another fault's": (quarantined(OTHERS), state("draining"), state("drain-succeeded")),
    "another fault's, before ours came": (
        quarantined(OTHERS),
        state("drain-succeeded"),
        quarantined(OTHERS, event()) | {"spec": {}},
    ),
}


@pytest.mark.guarantee("G24")
@pytest.mark.parametrize("script", FOREIGN_DRAINS.values(), ids=FOREIGN_DRAINS.keys())
@in_virtual_time
async def test_a_drain_for_something_else_passes_nothing(tmp_path: Path, script: tuple[Any, ...]) -> None:
    last = script[-1]
    if "annotations" in last["metadata"]:
        last = {**last, "metadata": {"annotations": last["metadata"]["annotations"]}}
    await never(tmp_path, AWAIT_DRAIN, *script[:-1], last)


@in_virtual_time
async def test_a_drain_that_failed_for_another_fault_fails_no_step(tmp_path: Path) -> None:
    script = (quarantined(OTHERS), state("drain-failed"), lifted(), quarantined(event()))
    await seen(tmp_path, AWAIT_DRAIN, *script, state("drain-succeeded"))


@in_virtual_time
async def test_a_drain_that_failed_for_the_fault_fails_the_step(tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match="failed to drain node-1"):
        await seen(tmp_path, AWAIT_DRAIN, quarantined(event()), state("drain-failed"))


@in_virtual_time
async def test_the_drain_for_the_fault_counts(tmp_path: Path) -> None:
    _, metrics = await seen(
        tmp_path, AWAIT_DRAIN, quarantined(event()), state("draining"), state("drain-succeeded")
    )
    assert metrics["time_to_drain"] == pytest.approx(3, abs=0.01)


FOREIGN_REPAIRS: Mapping[str, tuple[Any, ...]] = {
    "of nobody's": (repair("e9"), repaired("maintenance-node-1-e9")),
    "of another fault": (quarantined(OTHERS), repair("e2"), repaired("maintenance-node-1-e2")),
    "of another fault beside ours": (
        quarantined(OTHERS, event()),
        repair("e2"),
        repaired("maintenance-node-1-e2"),
    ),
    "of another GPU": (
        quarantined(OTHERS, event()),
        repair("e9", kind="GPUReset", selector={"uuids": ["GPU-2"]}),
        repaired("maintenance-node-1-e9", "GPUReset"),
    ),
}


@pytest.mark.guarantee("G24")
@pytest.mark.parametrize("script", FOREIGN_REPAIRS.values(), ids=FOREIGN_REPAIRS.keys())
@in_virtual_time
async def test_a_repair_of_something_else_passes_nothing(tmp_path: Path, script: tuple[Any, ...]) -> None:
    await never(tmp_path, AWAIT_REMEDIATION, *script)


REPAIRS: Mapping[str, tuple[Any, ...]] = {
    "by the event's id": (quarantined(OTHERS, event()), repair("e1"), repaired()),
    "by the GPU": (
        quarantined(OTHERS, event()),
        repair("e9", kind="GPUReset", selector={"uuids": ["GPU-1"]}),
        repaired("maintenance-node-1-e9", "GPUReset"),
    ),
    "since there is no other": (
        quarantined(event()),
        repair("e9"),
        repaired("maintenance-node-1-e9"),
    ),
    "asked for before the marks are seen": (repair("e1"), quarantined(event()), repaired()),
}


@pytest.mark.parametrize("script", REPAIRS.values(), ids=REPAIRS.keys())
@in_virtual_time
async def test_the_repair_for_the_fault_counts(tmp_path: Path, script: tuple[Any, ...]) -> None:
    _, metrics = await seen(tmp_path, AWAIT_REMEDIATION, *script)
    assert metrics["time_to_remediate"] == pytest.approx(3, abs=0.01)


@in_virtual_time
async def test_that_another_fault_cannot_be_repaired_says_nothing_of_ours(tmp_path: Path) -> None:
    script = (quarantined(OTHERS, event()), state("remediation-failed"), repair("e1"), repaired())
    await seen(tmp_path, AWAIT_REMEDIATION, *script)


@pytest.mark.guarantee("G24")
@in_virtual_time
async def test_an_uncordon_of_something_else_passes_nothing(tmp_path: Path) -> None:
    await never(tmp_path, AWAIT_UNCORDON, quarantined(OTHERS), lifted())


@in_virtual_time
async def test_only_the_uncordon_after_the_faults_own_quarantine_counts(tmp_path: Path) -> None:
    script = (quarantined(OTHERS), lifted(), quarantined(event()), lifted())
    _, metrics = await seen(tmp_path, AWAIT_UNCORDON, *script)
    assert metrics == {"time_to_uncordon": pytest.approx(4, abs=0.01)}


@pytest.mark.guarantee("G24")
@in_virtual_time
async def test_an_all_clear_is_no_repair(tmp_path: Path) -> None:
    """XID 74 is answered by CONTACT_SUPPORT: what clears its condition is a human, or our own undo."""
    script = (
        Conditions([condition_of(finding("74", action="CONTACT_SUPPORT"))]),
        quarantined(event("74", action=5)),
        state("remediation-failed"),
        Conditions([condition_of()]),
        lifted(),
    )
    _, metrics = await seen(tmp_path, AWAIT_UNCORDON, *script, xid=74)
    assert metrics == {"time_to_uncordon": pytest.approx(5, abs=0.01)}


@in_virtual_time
async def test_a_repair_of_another_fault_does_not_time_ours(tmp_path: Path) -> None:
    script = (
        quarantined(OTHERS, event()),
        repair("e2"),
        repaired("maintenance-node-1-e2"),
        lifted(),
    )
    _, metrics = await seen(tmp_path, AWAIT_UNCORDON, *script)
    assert metrics == {"time_to_uncordon": pytest.approx(4, abs=0.01)}


@pytest.mark.guarantee("G24")
@in_virtual_time
async def test_two_drills_on_two_nodes_do_not_mix(tmp_path: Path) -> None:
    """The same XID, and the same marks, on another node."""
    ours = quarantined(event())
    script = (ours, state("draining"), state("drain-succeeded"), repair("e1", node="node-2"), lifted())
    for number, step in enumerate((AWAIT_CORDON, AWAIT_DRAIN, AWAIT_REMEDIATION, AWAIT_UNCORDON)):
        folder = tmp_path / str(number)
        folder.mkdir()
        await never(folder, step, *script, at=Ref("Node", "node-2"))
