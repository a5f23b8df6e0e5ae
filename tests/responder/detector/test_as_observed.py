"""Each way in which the real monitor was seen to differ from what its documents say, by name (docs/responder.md)."""

import json
import logging
from pathlib import Path

import pytest

from offbus_sandbox.responder.detector.gpu_metadata import MetadataFile
from offbus_sandbox.responder.detector.xid_monitor import Stuck, XidMonitor
from offbus_sandbox.responder.health_event import HealthEvent

UUID_A = "GPU-4c6a1b2c-0000-4000-8000-00000000000a"
UUID_B = "GPU-4c6a1b2c-0000-4000-8000-00000000000b"
ACTION_OF_154 = [
    ("changed from 0x0 (None) to 0x2 (Node Reboot Required)", "RESTART_BM"),
    ("changed from 0x0 (None) to 0x4 (Drain and Reset)", "COMPONENT_RESET"),
    ("changed from 0x0 (None) to 0x1 (GPU Reset Required)", "COMPONENT_RESET"),
    ("changed from 0x1 (GPU Reset Required) to 0x0 (None)", "NONE"),
    ("changed from 0x0 (None) to 0x3 (Drain P2P)", "CONTACT_SUPPORT"),
    ("changed", "CONTACT_SUPPORT"),
]
OLD_LAYOUT, NEW_LAYOUT = "0x00000021", "0x00000001"


def write_metadata(root: Path, *gpus: tuple[str, str], driver: str | None = "580.82.07") -> None:
    path = root / "var/lib/nvsentinel/gpu_metadata.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    listed = [{"gpu_id": i, "uuid": uuid, "pci_address": pci} for i, (uuid, pci) in enumerate(gpus)]
    version = {} if driver is None else {"driver_version": driver}
    path.write_text(json.dumps({"version": "1.0", "gpus": listed} | version))


def started(root: Path, *, only_known_gpus: bool = False) -> XidMonitor:
    return XidMonitor("node-1", MetadataFile(root).current, only_known_gpus=only_known_gpus)


def told(monitor: XidMonitor, text: str, pci: str = "0000:3b:00") -> HealthEvent:
    return monitor.process(f"offbus=abc ;NVRM: Xid (PCI:{pci}): {text}")[0]


def saw_mvb(info: str) -> str:
    return f"144, SAW_MVB Fatal XC0 i0 Link 00 ({info} 0x00000002 0x0 0x0 0x0 0x0)"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_metadata(tmp_path, (UUID_A, "0000:3b:00.0"))
    return tmp_path


def test_rules_of_xid_154_eval_are_none_and_not_fatal(root: Path) -> None:
    event = told(
        started(root), "145, RLW_REMAP Nonfatal XC0 i0 Link 03 (0x00000004 0x00000001 0x0 0x0 0x0 0x0)"
    )
    assert (event.recommendedAction.name, event.isFatal) == ("NONE", False)


def test_workflow_xid_45_is_none_and_not_fatal(root: Path) -> None:
    event = told(started(root), "45, pid=18, name=python3, Ch 00000001")
    assert (event.recommendedAction.name, event.isFatal) == ("NONE", False)


@pytest.mark.parametrize("info", [OLD_LAYOUT, NEW_LAYOUT])
def test_no_metadata_file_counts_as_a_driver_before_r575(tmp_path: Path, info: str) -> None:
    event = told(started(tmp_path), saw_mvb(info))
    assert event.recommendedAction.name == ("RESTART_VM" if info == OLD_LAYOUT else "NONE")


@pytest.mark.parametrize("driver", [None, "", "unknown"])
@pytest.mark.parametrize("info", [OLD_LAYOUT, NEW_LAYOUT])
def test_no_driver_version_counts_as_one_before_r575(root: Path, driver: str | None, info: str) -> None:
    write_metadata(root, (UUID_A, "0000:3b:00.0"), driver=driver)
    event = told(started(root), saw_mvb(info))
    assert event.recommendedAction.name == ("COMPONENT_RESET" if info == OLD_LAYOUT else "NONE")


def test_a_gpu_that_is_added_later_has_no_uuid_and_its_reset_becomes_a_reboot(root: Path) -> None:
    monitor = started(root)
    write_metadata(root, (UUID_A, "0000:3b:00.0"), (UUID_B, "0000:5e:00.0"))
    event = told(monitor, "119, Timeout", "0000:5e:00")
    assert event.recommendedAction.name == "RESTART_VM"
    assert [(e.entityType, e.entityValue) for e in event.entitiesImpacted] == [("PCI", "0000:5e:00")]
    assert told(started(root), "119, Timeout", "0000:5e:00").recommendedAction.name == "COMPONENT_RESET"


def test_the_metadata_file_is_read_once_even_when_it_goes(root: Path) -> None:
    monitor = started(root)
    (root / "var/lib/nvsentinel/gpu_metadata.json").unlink()
    assert told(monitor, "119, Timeout").recommendedAction.name == "COMPONENT_RESET"


def test_a_known_driver_version_is_not_read_again(root: Path) -> None:
    monitor = started(root)
    write_metadata(root, (UUID_A, "0000:3b:00.0"), driver="570.133.20")
    assert told(monitor, saw_mvb(NEW_LAYOUT)).recommendedAction.name == "COMPONENT_RESET"


def test_only_an_empty_driver_version_is_read_again(root: Path) -> None:
    write_metadata(root, (UUID_A, "0000:3b:00.0"), driver="")
    monitor = started(root)
    assert told(monitor, saw_mvb(NEW_LAYOUT)).recommendedAction.name == "NONE"
    write_metadata(root, (UUID_B, "0000:5e:00.0"), driver="580.82.07")
    assert told(monitor, saw_mvb(NEW_LAYOUT)).recommendedAction.name == "COMPONENT_RESET"
    assert told(monitor, "119, Timeout", "0000:5e:00").recommendedAction.name == "RESTART_VM"


def test_the_all_clear_of_162_says_what_ended_163(root: Path) -> None:
    _, healthy = started(root).process("offbus=abc ;NVRM: Xid (PCI:0000:3b:00): 162, reengaged")
    assert (healthy.isHealthy, healthy.errorCode) == (True, ("163",))
    assert healthy.message == "Cancelled by SysLogsXIDError error code 162"
    assert healthy.metadata == {"nvsentinel.nvidia.com/cancel-source-error-code": "162"}


@pytest.mark.parametrize(("text", "action"), ACTION_OF_154)
def test_the_last_parentheses_of_154_decide(root: Path, text: str, action: str) -> None:
    event = told(started(root), f"154, GPU recovery action {text}")
    assert event.recommendedAction.name == action


def test_of_two_xids_in_one_text_the_first_counts(root: Path) -> None:
    event = told(started(root), "13, x NVRM: Xid (PCI:0000:3b:00): 79, y")
    assert event.errorCode == ("13",)


@pytest.mark.parametrize("success", ["true", "false"])
def test_a_reset_line_of_an_unknown_gpu_is_never_got_past(root: Path, success: str) -> None:
    line = f"GPU reset executed: {UUID_B}, success: {success}"
    with pytest.raises(Stuck, match=f"{UUID_B}, which the metadata did not list"):
        started(root).process(line)
    monitor = started(root)
    write_metadata(root, (UUID_A, "0000:3b:00.0"), (UUID_B, "0000:5e:00.0"))
    with pytest.raises(Stuck):
        monitor.process(line)


def test_with_only_known_gpus_such_a_line_is_another_node_s(root: Path) -> None:
    line = f"GPU reset executed: {UUID_B}, success: true"
    assert started(root, only_known_gpus=True).process(line) == ()


def test_a_missing_metadata_file_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        monitor = started(tmp_path)
        for _ in range(3):
            told(monitor, "79, x")
    assert len([one for one in caplog.messages if "gpu_metadata.json" in one]) == 1
