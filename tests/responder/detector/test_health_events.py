"""From lines to health events, and from events to the node condition and back."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from offbus_sandbox.responder.condition import MAX_MESSAGE, faults_of, updated_conditions
from offbus_sandbox.responder.detector.dedup import Dedup
from offbus_sandbox.responder.detector.gpu_metadata import MetadataFile
from offbus_sandbox.responder.detector.xid_monitor import XidMonitor
from offbus_sandbox.responder.health_event import HealthEvent
from offbus_steps.nvsentinel.cause import normalise_pci
from offbus_steps.nvsentinel.names import RecommendedAction
from tests.kits.virtual_time import VirtualClock

UUID_A = "GPU-4c6a1b2c-0000-4000-8000-00000000000a"
UUID_B = "GPU-4c6a1b2c-0000-4000-8000-00000000000b"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LATER = datetime(2026, 1, 2, 3, 5, 5, tzinfo=UTC)


def write_metadata(root: Path, *gpus: tuple[str, str]) -> None:
    path = root / "var/lib/nvsentinel/gpu_metadata.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    listed = [{"gpu_id": i, "uuid": uuid, "pci_address": pci} for i, (uuid, pci) in enumerate(gpus)]
    content = {"version": "1.0", "driver_version": "580.82.07", "chassis_serial": "C1", "gpus": listed}
    path.write_text(json.dumps(content))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_metadata(tmp_path, (UUID_A, "0000:3b:00.0"), (UUID_B, "0000:5e:00.0"))
    return tmp_path


@pytest.fixture
def monitor(root: Path) -> XidMonitor:
    return XidMonitor("node-1", MetadataFile(root).current, only_known_gpus=False)


def xid(pci: str, text: str) -> str:
    return f"offbus=abc ;NVRM: Xid (PCI:{pci}): {text}"


def entities(event: HealthEvent) -> dict[str, str]:
    return {e.entityType: e.entityValue for e in event.entitiesImpacted}


def test_a_fatal_xid_names_gpu_code_action_and_the_raw_journal_text(monitor: XidMonitor) -> None:
    (event,) = monitor.process(xid("0000:3b:00", "79, GPU has fallen off the bus."))
    assert event.isFatal
    assert not event.isHealthy
    assert event.errorCode == ("79",)
    assert event.recommendedAction is RecommendedAction.RESTART_BM
    assert entities(event) == {"PCI": "0000:3b:00", "GPU_UUID": UUID_A}
    assert event.message.startswith("MESSAGE=offbus=abc ;NVRM: Xid")
    assert event.metadata == {"chassis_serial": "C1"}


def test_a_reset_becomes_a_reboot_when_the_metadata_does_not_know_the_gpu(monitor: XidMonitor) -> None:
    (known,) = monitor.process(xid("0000:3b:00", "119, Timeout"))
    (unknown,) = monitor.process(xid("0000:99:00", "119, Timeout"))
    assert known.recommendedAction is RecommendedAction.COMPONENT_RESET
    assert unknown.recommendedAction is RecommendedAction.RESTART_VM
    assert entities(unknown) == {"PCI": "0000:99:00"}


def test_an_address_line_gives_an_unlisted_gpu_its_uuid_but_not_its_reset(monitor: XidMonitor) -> None:
    assert monitor.process(f"NVRM: GPU at PCI:0000:99:00: {UUID_B}") == ()
    (event,) = monitor.process(xid("0000:99:00", "119, Timeout"))
    assert entities(event)["GPU_UUID"] == UUID_B
    assert event.recommendedAction is RecommendedAction.RESTART_VM


def test_a_broken_metadata_file_knows_no_gpu(root: Path) -> None:
    (root / "var/lib/nvsentinel/gpu_metadata.json").write_text("{not json")
    assert MetadataFile(root).current().gpus == ()


def test_only_known_gpus_drops_lines_of_other_nodes(root: Path) -> None:
    monitor = XidMonitor("node-1", MetadataFile(root).current, only_known_gpus=True)
    assert monitor.process(xid("0000:99:00", "79, x")) == ()
    assert len(monitor.process(xid("0000:3B:00", "79, x"))) == 1


def test_a_good_reset_clears_and_a_bad_one_asks_for_a_reboot(monitor: XidMonitor) -> None:
    (healthy,) = monitor.process(f"GPU reset executed: {UUID_A}, success: true")
    (failed,) = monitor.process(f"GPU reset executed: {UUID_A}, success: false")
    assert healthy.isHealthy
    assert entities(healthy) == {"PCI": "0000:3b:00", "GPU_UUID": UUID_A}
    assert (failed.isFatal, failed.errorCode) == (True, ("GPU_RESET_FAILURE",))
    assert failed.recommendedAction is RecommendedAction.RESTART_VM


def test_162_ends_163_on_the_same_gpu(monitor: XidMonitor) -> None:
    (earlier,) = monitor.process(xid("0000:3b:00", "163, disengaged"))
    fault, healthy = monitor.process(xid("0000:3b:00", "162, reengaged"))
    assert healthy.clears(earlier)
    assert not healthy.clears(fault)


@pytest.mark.parametrize(
    ("pci", "normal"),
    [
        ("00000000:3B:00.0", "0000:3b:00"),
        ("0000:3b:00", "0000:3b:00"),
        ("0018:01:00.0", "0018:01:00"),
    ],
)
def test_addresses_are_compared_by_their_normal_form(pci: str, normal: str) -> None:
    assert normalise_pci(pci) == normal


def conditions_after(
    *events: HealthEvent, before: list[dict[str, Any]] | None = None
) -> list[dict[str, Any]]:
    conditions = before or [{"type": "Ready", "status": "True", "reason": "KubeletReady"}]
    for event in events:
        conditions = updated_conditions(conditions, event, NOW)
    return conditions


def told(conditions: list[dict[str, Any]]) -> list[str]:
    node = {"metadata": {"name": "node-1"}, "status": {"conditions": conditions}}
    return [code for fault in faults_of(node) for code in fault.errorCode]


def test_a_fault_is_a_condition_in_nvsentinel_s_words(monitor: XidMonitor) -> None:
    (event,) = monitor.process(xid("0000:3b:00", "119, Timeout; of RPC"))
    ready, condition = conditions_after(event)
    assert ready["type"] == "Ready"
    assert (condition["type"], condition["status"]) == ("SysLogsXIDError", "True")
    assert condition["reason"] == "SysLogsXIDErrorIsNotHealthy"
    assert condition["message"] == (
        f"ErrorCode:119 PCI:0000:3b:00 GPU_UUID:{UUID_A} MESSAGE=offbus=abc .NVRM: Xid (PCI:0000:3b:00): "
        "119, Timeout. of RPC Recommended Action=COMPONENT_RESET;"
    )


def test_the_condition_reads_back_as_the_fault_that_it_tells_of(monitor: XidMonitor) -> None:
    (event,) = monitor.process(xid("0000:3b:00", "119, Timeout"))
    node = {"metadata": {"name": "node-1"}, "status": {"conditions": conditions_after(event)}}
    (fault,) = faults_of(node)
    assert fault.key == event.key
    assert fault.recommendedAction is event.recommendedAction


def test_faults_add_up_and_each_reset_clears_its_own_gpu(monitor: XidMonitor) -> None:
    (on_a,) = monitor.process(xid("0000:3b:00", "119, Timeout"))
    (on_b,) = monitor.process(xid("0000:5e:00", "48, DBE"))
    (clear_a,) = monitor.process(f"GPU reset executed: {UUID_A}, success: true")
    both = conditions_after(on_a, on_b, on_a)
    assert told(both) == ["48", "119"]
    one_left = conditions_after(clear_a, before=both)
    assert told(one_left) == ["48"]
    assert one_left[-1]["status"] == "True"


def test_a_new_boot_clears_the_whole_check(monitor: XidMonitor) -> None:
    (on_a,) = monitor.process(xid("0000:3b:00", "119, Timeout"))
    *_, condition = conditions_after(on_a, *monitor.rebooted())
    assert condition["status"] == "False"
    assert condition["reason"] == "SysLogsXIDErrorIsHealthy"
    assert condition["message"] == "No Health Failures"


def test_the_transition_time_only_moves_with_the_status(monitor: XidMonitor) -> None:
    (on_a,) = monitor.process(xid("0000:3b:00", "119, Timeout"))
    (on_b,) = monitor.process(xid("0000:5e:00", "48, DBE"))
    first = conditions_after(on_a)
    second = updated_conditions(first, on_b, LATER)
    assert second[-1]["lastTransitionTime"] == first[-1]["lastTransitionTime"]
    assert second[-1]["lastHeartbeatTime"] > first[-1]["lastHeartbeatTime"]


def test_a_long_message_loses_its_raw_text_before_any_fault(monitor: XidMonitor) -> None:
    events = [monitor.process(xid("0000:3b:00", f"{number}, {'x' * 400}"))[0] for number in (79, 119, 48, 95)]
    conditions = conditions_after(*events)
    assert len(conditions[-1]["message"]) <= MAX_MESSAGE
    assert told(conditions) == ["79", "119", "48", "95"]


def test_a_message_that_is_still_too_long_is_cut_and_what_is_left_can_be_read(monitor: XidMonitor) -> None:
    events = [monitor.process(xid("0000:3b:00", f"{number}, x"))[0] for number in range(900, 930)]
    conditions = conditions_after(*events)
    assert len(conditions[-1]["message"]) == MAX_MESSAGE
    assert conditions[-1]["message"].endswith("...")
    assert told(conditions)


def test_foreign_text_in_a_condition_is_passed_over() -> None:
    condition = {
        "type": "X",
        "status": "True",
        "reason": "XIsNotHealthy",
        "message": "somebody's words; and more;",
    }
    assert told([condition]) == []


def test_a_repeat_within_the_window_is_dropped_whatever_its_text(monitor: XidMonitor) -> None:
    clock = VirtualClock(begins_s=1000.0)
    dedup = Dedup(180, clock.seconds)
    (first,) = monitor.process(xid("0000:3b:00", "79, pid=1"))
    (again,) = monitor.process(xid("0000:3b:00", "79, pid=2, name=other"))
    (other_gpu,) = monitor.process(xid("0000:5e:00", "79, x"))
    (other_code,) = monitor.process(xid("0000:3b:00", "48, x"))
    assert [dedup.admits(e) for e in (first, again, other_gpu, other_code)] == [True, False, True, True]
    clock.passed_s += 179
    assert not dedup.admits(again)
    clock.passed_s += 1
    assert dedup.admits(again)


def test_of_so_many_faults_within_a_window_the_oldest_may_be_told_again(monitor: XidMonitor) -> None:
    dedup = Dedup(180, VirtualClock(begins_s=1000.0).seconds)
    faults = [event for pci in range(4096 + 1) for event in monitor.process(xid(f"{pci:x}:00", "79, x"))]
    assert all(map(dedup.admits, faults))
    assert dedup.admits(faults[0])
    assert not dedup.admits(faults[-1])


def test_a_repair_makes_the_same_fault_news_again(monitor: XidMonitor) -> None:
    dedup = Dedup(180, VirtualClock(begins_s=1000.0).seconds)
    (on_a,) = monitor.process(xid("0000:3b:00", "79, x"))
    (on_b,) = monitor.process(xid("0000:5e:00", "79, x"))
    (clear_a,) = monitor.process(f"GPU reset executed: {UUID_A}, success: true")
    assert [dedup.admits(e) for e in (on_a, on_b, clear_a, on_a, on_b)] == [True, True, True, True, False]
