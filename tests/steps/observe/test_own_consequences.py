"""Only what carries this fault's check, code and entity, after its injection and from the responder, passes a step."""

from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from offbus.errors import StepFailed
from offbus.step import StepType
from offbus_steps.observe.await_quarantine import DETECTED_WITHIN
from offbus_steps.observe.step_types import (
    AWAIT_CORDON,
    AWAIT_DETECTION,
    AWAIT_DRAIN,
    AWAIT_REMEDIATION,
    AWAIT_UNCORDON,
)
from offbus_steps.port import Object, Ref
from tests.kits.steps.faults import FAULT
from tests.kits.steps.responder_marks import (
    condition_of,
    event,
    finding,
    lifted,
    quarantined,
    repair,
    reported,
    state,
)
from tests.kits.steps.timed_port import TimedPort, node, put, timed_bench
from tests.kits.virtual_time import in_virtual_time, meanwhile

NODE = Ref("Node", "node-1")
READY: Mapping[str, Any] = {"type": "Ready", "status": "True"}
BY_HAND: Mapping[str, Any] = {"spec": {"unschedulable": True}}
OTHERS = event("48", "GPU-2", id="e2")
WITHIN_S = 60.0


class Conditions(tuple[dict[str, Any], ...]):
    """All conditions of a node but for Ready."""

    __slots__ = ()


def play(port: TimedPort, at: Ref, what: Any) -> None:
    """Write a patch of the node, its conditions, an object, or an object's status."""
    if isinstance(what, Conditions):
        port.store.set_status(at, {"conditions": [READY, *what]})
    elif "apiVersion" in what:
        put(port.store, what)
    elif "status" in what:
        port.store.set_status(Ref(what["kind"], what["name"]), what["status"])
    else:
        port.store.patch(at, what)


def repaired(name: str = "maintenance-node-1-e1", kind: str = "RebootNode", status: str = "True") -> Any:
    kinds = {"RebootNode": "NodeReady", "GPUReset": "Complete"}
    return {
        "kind": kind,
        "name": name,
        "status": {"conditions": [{"type": kinds[kind], "status": status}]},
    }


async def seen(
    folder: Path, step: StepType, *script: Any, before: tuple[Any, ...] = (), at: Ref = NODE, **fault: Any
) -> tuple[Any, dict[str, float]]:
    """Run a step while a responder and others write: one write a second, from the first on; outputs and metrics."""
    async with timed_bench(folder, node("node-1"), node("node-2")) as (one, port):
        for what in before:
            play(port, at, what)
        await one.cluster.observer.watch_responses()
        await one.cluster.log.until(partial(settled, port))
        aimed = FAULT.model_copy(update={"mark": one.cluster.log.mark(), **fault})
        writes = [(float(second), partial(play, port, at, what)) for second, what in enumerate(script, 1)]
        async with meanwhile(*writes):
            out = await one.run(step, within_s=WITHIN_S, fault=aimed)
        return out, {metric["name"]: metric["value"] for metric in one.events("metric")}


def settled(port: TimedPort, world: Any) -> bool | None:
    """Whether the watches show the node as it is."""
    marks: Object = port.store.get(NODE)["metadata"].get("annotations") or {}
    found = world.node("node-1")
    return True if found is not None and found.annotations == marks else None


async def never(folder: Path, step: StepType, *script: Any, **more: Any) -> None:
    """The step waits until it is given up."""
    began = anyio.current_time()
    with pytest.raises(TimeoutError):
        await seen(folder, step, *script, **more)
    assert anyio.current_time() - began >= WITHIN_S


SAID = f"MESSAGE=offbus={FAULT.id} .NVRM: Xid (PCI:0000:3b:00): 94, said"
"""The line of the fault, as NVSentinel repeats it in an Event (nvsentinel-observed.md)."""


def told(code: str = "79", uuid: str = "GPU-1", *, said: str = SAID) -> str:
    """An entry about a fault that is not fatal."""
    return finding(code, uuid, action="NONE", said=said)


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
