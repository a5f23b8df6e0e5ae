"""The line of a GPU that is gone, without an XID, as NVSentinel reads it (reference: nvsentinel.md, 1.5)."""

import json
from pathlib import Path

import pytest

from offbus_agent.catalogue.catalogue import NO_XID, UnknownXid, lookup
from offbus_sandbox.responder.detector.gpu_metadata import MetadataFile
from offbus_sandbox.responder.detector.xid_monitor import XidMonitor
from offbus_steps.nvsentinel.cause import Cause
from offbus_steps.nvsentinel.findings import Finding

PCI, UUID = "0000:3b:00", "GPU-4c6a1b2c-0000-4000-8000-00000000000a"
LINE = "offbus=a1 ;" + lookup(NO_XID).line(pci=PCI, gpu=0, driver=580)
MOST_KNOWN = 1024
"""Addresses that a monitor knows something of."""
IN_THREE = (
    f"NVRM: The NVIDIA GPU {PCI}.0\nNVRM: (PCI ID: 10de:26b5) installed in this system has\n"
    "NVRM: fallen off the bus and is not responding to commands."
)


class Clock:
    """One that the test moves."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def monitor_on(root: Path, clock: Clock, *, only_known_gpus: bool = False, pci: str = PCI) -> XidMonitor:
    path = root / "var/lib/nvsentinel/gpu_metadata.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"gpus": [{"gpu_id": 0, "uuid": UUID, "pci_address": f"{pci}.0"}]}))
    return XidMonitor("n1", MetadataFile(root).current, only_known_gpus=only_known_gpus, clock=clock)


@pytest.mark.parametrize(("line", "device"), [(LINE, "10de:2330"), (IN_THREE, "10de:26b5")])
def test_it_is_fatal_and_asks_for_a_reboot(tmp_path: Path, clock: Clock, line: str, device: str) -> None:
    (event,) = monitor_on(tmp_path, clock).process(line)
    assert (event.checkName, event.isFatal, event.isHealthy) == ("SysLogsGPUFallenOff", True, False)
    assert (event.recommendedAction.name, event.errorCode) == ("RESTART_BM", ("GPU_FALLEN_OFF_BUS",))
    assert [(one.entityType, one.entityValue) for one in event.entitiesImpacted] == [
        ("PCI", "0000:3b:00.0"),
        ("PCI_ID", device),
    ]


def test_a_line_with_an_xid_in_it_is_the_xid_s(tmp_path: Path, clock: Clock) -> None:
    (event,) = monitor_on(tmp_path, clock).process(f"NVRM: Xid (PCI:{PCI}): 79, x {LINE}")
    assert event.checkName == "SysLogsXIDError"


@pytest.mark.timer("sandbox/offbus_sandbox/responder/detector/xid_monitor.py")
@pytest.mark.parametrize(("spelt", "after_s", "events"), [(PCI, 299, 0), (PCI, 301, 1), (f"{PCI}.0", 1, 1)])
def test_after_an_xid_of_the_same_address_as_spelt_it_is_left_out_for_five_minutes(
    tmp_path: Path, clock: Clock, spelt: str, after_s: float, events: int
) -> None:
    monitor = monitor_on(tmp_path, clock)
    monitor.process(f"NVRM: Xid (PCI:{PCI}): 79, x")
    clock.now += after_s
    line = LINE.replace(f"{PCI}.0", spelt)
    assert len(monitor.process(line)) == events


def test_a_reboot_clears_its_check_once_it_has_found_one(tmp_path: Path, clock: Clock) -> None:
    monitor = monitor_on(tmp_path, clock)
    assert [event.checkName for event in monitor.rebooted()] == ["SysLogsXIDError"]
    (fault,) = monitor.process(LINE)
    healthy = {event.checkName: event for event in monitor.rebooted()}
    assert set(healthy) == {"SysLogsXIDError", "SysLogsGPUFallenOff"}
    assert healthy["SysLogsGPUFallenOff"].clears(fault)
    assert not healthy["SysLogsXIDError"].clears(fault)


@pytest.mark.parametrize(("others", "events"), [(MOST_KNOWN - 1, 0), (MOST_KNOWN, 1)])
def test_of_so_many_addresses_with_an_xid_the_oldest_is_forgotten(
    tmp_path: Path, clock: Clock, others: int, events: int
) -> None:
    """Who may write to a log spells as many as it likes."""
    monitor = monitor_on(tmp_path, clock)
    for number in range(others):
        monitor.process(f"NVRM: Xid (PCI:0000:{number:x}): 79, x")
        if number == 0:
            monitor.process(f"NVRM: Xid (PCI:{PCI}): 79, x")
    monitor.process("NVRM: Xid (PCI:0000:0): 79, x")  # one that is known is no more than one
    assert len(monitor.process(LINE.replace(f"{PCI}.0", PCI))) == events


def test_of_so_many_uuids_that_lines_tell_the_oldest_is_forgotten(tmp_path: Path, clock: Clock) -> None:
    monitor = monitor_on(tmp_path, clock)

    def uuids_at(pci: str) -> list[str]:
        (event,) = monitor.process(f"NVRM: Xid (PCI:{pci}): 79, x")
        return [one.entityValue for one in event.entitiesImpacted if one.entityType == "GPU_UUID"]

    for number in range(MOST_KNOWN + 1):
        monitor.process(f"NVRM: GPU at PCI:{number:04x}:01:00: GPU-{number:08x}-0000-4000-8000-000000000000")
    assert uuids_at("0000:01:00") == []
    assert uuids_at("0001:01:00") == ["GPU-00000001-0000-4000-8000-000000000000"]


def test_a_gpu_of_another_node_is_left_out_where_only_known_ones_count(tmp_path: Path, clock: Clock) -> None:
    known = monitor_on(tmp_path, clock, only_known_gpus=True)
    others = monitor_on(tmp_path, clock, only_known_gpus=True, pci="0000:5e:00")
    assert (len(known.process(LINE)), len(others.process(LINE))) == (1, 0)


def test_its_consequences_are_recognised_by_its_own_check() -> None:
    cause = Cause.of(NO_XID, [UUID], [PCI])
    entities = (("PCI", "0000:3b:00.0"), ("PCI_ID", "10de:2330"))
    assert cause.made(Finding("SysLogsGPUFallenOff", ("GPU_FALLEN_OFF_BUS",), entities))
    assert not cause.made(Finding("SysLogsXIDError", ("79",), entities))
    assert not Cause.of(79, [UUID], [PCI]).made(
        Finding("SysLogsGPUFallenOff", ("GPU_FALLEN_OFF_BUS",), entities)
    )


def test_a_reset_of_the_gpu_does_not_end_it() -> None:
    assert not Cause.of(NO_XID, [UUID], [PCI]).ends_by_reset
    assert Cause.of(79, [UUID], [PCI]).ends_by_reset


def test_an_sxid_is_not_injected_and_says_why() -> None:
    with pytest.raises(
        UnknownXid, match="SXID 20034 is of an NVSwitch, not of a GPU: it is catalogued, and not"
    ):
        lookup(20034)
