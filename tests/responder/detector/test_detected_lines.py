"""Which kernel lines the detector sees, and which journald hides from it (reference: xid-lines.md)."""

import pytest

from offbus_agent.catalogue.responder_action import KNOWING, Monitor
from offbus_agent.detectors.journald import Entry, journal_entry, parse_record
from offbus_sandbox.responder.detector.xid_line import (
    XidReport,
    parse_gpu_address,
    parse_gpu_reset,
    parse_xid,
)

FALLEN_OFF = "NVRM: Xid (PCI:0000:2a:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus."
USER = 12  # facility user, level warning: what the kernel makes of a line that a process writes
KERN = 4


def message_of(text: str, prefix: int = USER) -> str:
    record = parse_record(f"{prefix},7,1234567,-;{text}")
    assert record is not None
    return journal_entry(record).message


@pytest.mark.parametrize(
    ("opening", "prefix", "detected"),
    [
        pytest.param("", USER, False, id="bare"),
        pytest.param("<3>", USER, False, id="level-in-the-text"),
        pytest.param("NVRM: ", USER, True, id="double"),
        pytest.param("kernel: ", USER, True, id="kernel"),
        pytest.param("[6085126.134786] ", USER, True, id="timestamp"),
        pytest.param("offbus=7f3a91 ;", USER, True, id="marked"),
        pytest.param("", KERN, True, id="the-driver-itself"),
    ],
)
def test_a_dialect_is_detected_or_not(opening: str, prefix: int, detected: bool) -> None:
    report = parse_xid(message_of(opening + FALLEN_OFF, prefix))
    assert (report is not None) == detected


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("[1.0] NVRM: Xid (0000:1a:00): 79, x", id="no-PCI-prefix"),
        pytest.param("[1.0] NVRM: xid (PCI:0000:1a:00): 79, x", id="lower-case"),
        pytest.param("[1.0] NVRM: Xid (PCI:0000:1a:00) : 79, x", id="space-before-colon"),
        pytest.param("[1.0] NVRM: Xid (PCI:0000:1a:00 GPU-I:05): 79, x", id="mig-form"),
    ],
)
def test_lines_of_another_shape_are_not_xids(text: str) -> None:
    assert parse_xid(message_of(text)) is None


@pytest.mark.parametrize(
    ("text", "code", "action"),
    [
        pytest.param("13, Graphics Exception: ESR 0x57a730=0x1b000b", "13", "NONE", id="13"),
        pytest.param("31, pid=20, name=python3, Ch 00000007, intr 0", "31", "NONE", id="31"),
        pytest.param("45, pid=18, name=python3, Ch 00000001", "45", "NONE", id="45"),
        pytest.param("48, An uncorrectable double bit error", "48", "COMPONENT_RESET", id="48"),
        pytest.param("74, NVLink: fatal error detected on link 14", "74", "CONTACT_SUPPORT", id="74"),
        pytest.param("79, GPU has fallen off the bus.", "79", "RESTART_BM", id="79"),
        pytest.param("94, Contained: SM (0x1). RST: No, D-RST: No", "94", "NONE", id="94"),
        pytest.param("95, Uncontained: LTC TAG (0x2, 0x1).", "95", "COMPONENT_RESET", id="95"),
        pytest.param("119, Timeout after 6s of waiting", "119", "COMPONENT_RESET", id="119"),
        pytest.param("120, GSP task exception", "120", "COMPONENT_RESET", id="120"),
        pytest.param("151, something", "151", "RESTART_VM", id="151"),
        pytest.param("163, no bucket in the catalogue", "163", "CONTACT_SUPPORT", id="empty-bucket"),
        pytest.param("999, made up", "999", "CONTACT_SUPPORT", id="unknown-number"),
        pytest.param("145, not the NVLink5 shape", "145", "CONTACT_SUPPORT", id="145-plain"),
        pytest.param(
            "154, changed from 0x0 (None) to 0x1 (GPU Reset Required)",
            "154",
            "COMPONENT_RESET",
            id="154-reset",
        ),
        pytest.param(
            "154, changed from 0x1 (x) to 0x2 (Node Reboot Required)", "154", "RESTART_BM", id="154-reboot"
        ),
        pytest.param(
            "154, changed from 0x1 (GPU Reset Required) to 0x0 (None)", "154", "NONE", id="154-none"
        ),
        pytest.param("154, changed to something new", "154", "CONTACT_SUPPORT", id="154-other"),
    ],
)
def test_the_recommended_action_follows_the_catalogue(text: str, code: str, action: str) -> None:
    report = parse_xid(f"NVRM: Xid (PCI:0000:2a:00): {text}")
    assert report is not None
    assert (report.code, report.action(KNOWING).name) == (code, action)


@pytest.mark.parametrize(
    ("driver", "info", "action"),
    [
        pytest.param("570.86.15", "0x00000082", "COMPONENT_RESET", id="old-driver-old-bits"),
        pytest.param("570.86.15", "0x00000004", "NONE", id="old-driver-new-bits"),
        pytest.param("580.82.07", "0x00000082", "NONE", id="new-driver-old-bits"),
        pytest.param("580.82.07", "0x00000004", "COMPONENT_RESET", id="new-driver-new-bits"),
        pytest.param("", "0x00000004", "NONE", id="unknown-driver-counts-as-old"),
        pytest.param("", "0x00000082", "COMPONENT_RESET", id="unknown-driver-old-bits"),
    ],
)
def test_nvlink5_lines_are_decoded_by_the_driver_s_bit_layout(driver: str, info: str, action: str) -> None:
    line = f"NVRM: Xid (PCI:0018:01:00): 145, pid='x', name=y, RLW_REMAP Fatal XC0 i0 Link 03 ({info} 0x00000040 0x0)"
    text = f"145, RLW_REMAP Fatal XC0 i0 Link 03 ({info} 0x00000040)"
    report = parse_xid(line)
    assert report == XidReport("0018:01:00", 145, "145.RLW_REMAP", text)
    assert report.action(Monitor.of(driver, lists_gpu=True)).name == action


def test_the_function_digit_is_dropped_and_the_case_kept() -> None:
    report = parse_xid("NVRM: Xid (PCI:00000000:3B:00.0): 79, x")
    assert report is not None
    assert report.pci == "00000000:3B:00"


def test_details_of_13_and_74_become_entities() -> None:
    thirteen = parse_xid("NVRM: Xid (PCI:0:2a:00): 13, on (GPC 1, TPC 3, SM 0): Out Of Range")
    registers = "0x0, 0x0, 0x10000, 0x0, 0x0, 0x0, 0x0"
    seventy_four = parse_xid(f"NVRM: Xid (PCI:0:2a:00): 74, on link 14({registers})")
    assert thirteen is not None
    assert [(e.entityType, e.entityValue) for e in thirteen.details] == [
        ("GPC", "1"),
        ("TPC", "3"),
        ("SM", "0"),
    ]
    assert seventy_four is not None
    assert [e.entityType for e in seventy_four.details] == ["NVLINK", *(f"REG{i}" for i in range(7))]
    assert seventy_four.details[3].entityValue == f"{0x10000:032b}"


def test_the_reset_line_needs_its_outcome() -> None:
    uuid = "GPU-4c6a1b2c-0000-4000-8000-0123456789ab"
    good, bad = (
        parse_gpu_reset(f"GPU reset executed: {uuid}, success: {word}") for word in ("true", "false")
    )
    assert good is not None
    assert good.success
    assert bad is not None
    assert not bad.success
    assert parse_gpu_reset(f"GPU reset executed: {uuid}") is None


def test_the_driver_s_address_line_names_the_uuid() -> None:
    found = parse_gpu_address("NVRM: GPU at PCI:0000:3b:00: GPU-0b6b1b2c-0000-4000-8000-0123456789ab")
    assert found is not None
    assert (found.pci, found.uuid[:12]) == ("0000:3b:00", "GPU-0b6b1b2c")


@pytest.mark.parametrize(
    ("line", "entry"),
    [
        pytest.param(
            "12,1,2,-;sshd[14]: hello", Entry("sshd", "hello"), id="pid-is-not-part-of-the-identifier"
        ),
        pytest.param("4,1,2,-;NVRM: x", Entry("kernel", "NVRM: x"), id="kernel-facility-keeps-its-text"),
        pytest.param(r"12,1,2,-;a\x3bb", Entry("", "a;b"), id="escapes-are-undone"),
        pytest.param("12,1,2,-,caller=T1;plain", Entry("", "plain"), id="extra-fields"),
        pytest.param("12,1,2,-;only:", Entry("only", ""), id="nothing-after-the-identifier"),
    ],
)
def test_journald_s_identifier_rule(line: str, entry: Entry) -> None:
    record = parse_record(line)
    assert record is not None
    assert journal_entry(record) == entry


@pytest.mark.parametrize(
    "line", ["", "no semicolon", "x,1,2,-;t", "12,1;t", " SUBSYSTEM=acpi", "12,-1,2,-;t"]
)
def test_what_is_no_record_is_none(line: str) -> None:
    assert parse_record(line) is None
