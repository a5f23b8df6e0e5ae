"""The detectors' rules are those of their sources: the right values stand here, as the reference pages note them.

xid-lines.md (gpud, DCGM, NVSentinel), nvsentinel.md, section 1.2 and 1.6, and the sources that each data file names.
"""

import re

import pytest

from offbus_agent.catalogue.catalogue import catalogue
from offbus_agent.detectors.rules import Detector, detector, detectors, numbers

NVLINK5 = (
    r"NVRM: Xid \(PCI:([^)]+)\): (\d+)(?:, pid=[^,]*)?(?:, name=[^,]*)?, (\w+)\s+(\w+)\s+(\w+)\s+(\w+)\s+Link\s+(-?\d+)"
    r"\s+\((0x[0-9a-fA-F]+)\s+(0x[0-9a-fA-F]+)"
)
PATTERNS = {
    ("gpud", "xid"): r"NVRM: Xid \(((?:PCI:)?[0-9a-fA-F:]+)\).*?: (\d+),",
    ("gpud", "sxid"): r"SXid.*?: (\d+),",
    ("gpud", "fallen-off"): (
        r"(?s)NVRM:\s+The NVIDIA GPU ((?:[0-9a-fA-F]{4}:)?[0-9a-fA-F]{2}:[0-9a-fA-F]{2})\.0.*?fallen off the bus and is"
        r" not responding to commands\."
    ),
    ("gpud", "fallen-off-line"): (
        r"NVRM:\s+GPU ((?:[0-9a-fA-F]{4}:)?[0-9a-fA-F]{2}:[0-9a-fA-F]{2})\.0:\s+GPU has fallen off the bus\.?"
    ),
    ("dcgm", "xid"): r"^\d+,\d+,(\d+),.*;NVRM: Xid \(PCI:(.*)\): (\d+),.*",
    ("nvsentinel", "xid"): (
        r"NVRM: Xid \(PCI:([0-9a-fA-F:.]+)\): (\d+)(?:, pid=(\d+))?(?:, name=([^,]+))?(?:, Ch ([0-9a-fA-F]+))?"
    ),
    ("nvsentinel", "nvlink5"): NVLINK5,
    ("nvsentinel", "sxid"): (
        r"nvidia-nvswitch(\d+): SXid \(PCI:([0-9a-fA-F:.]+)\): (\d+), (Fatal|Non-fatal), Link (\d+) (.+)"
    ),
    ("nvsentinel", "fallen-off"): (
        r"(?s)NVRM: The NVIDIA GPU ([0-9a-fA-F:.]+).*?fallen off the bus and is not responding to commands"
    ),
    ("nvsentinel", "pci-id"): r"PCI ID: ([0-9a-fA-F:]+)",
    ("nvsentinel", "address"): r"NVRM: GPU at PCI:([0-9a-fA-F:.]+): (GPU-[0-9a-fA-F-]+)",
    ("nvsentinel", "reset"): r"GPU reset executed: (GPU-[0-9a-fA-F-]+), success: (true|false)",
    ("nvsentinel", "xid-13"): r"\(GPC\s+(\d+),\s*TPC\s+(\d+),\s*SM\s+(\d+)\)",
    ("nvsentinel", "xid-74"): r"link\s+(\d+)\(" + r",\s*".join([r"(0x[0-9a-fA-F]+)"] * 7) + r"\)",
    ("npd", "xid"): r"NVRM: Xid.*",
}
BUCKETS = {
    "NONE": "RESTART_APP IGNORE WORKFLOW_XID_45 XID_154_EVAL",
    "COMPONENT_RESET": "RESET_GPU WORKFLOW_XID_48 RECOVER_FEATURE_RESET_GPU",
    "RESTART_VM": "RESTART_VM WORKFLOW_XID_168 RESET_FABRIC",
    "RESTART_BM": "RESTART_BM",
}
READS = {
    "nvsentinel/main-2026-08": "journal",
    "nvsentinel/v1.33": "journal",
    "nvsentinel/v1.8": "journal",
    "nvsentinel/kernel-facility": "journal",
    "nvsentinel/kata": "journal",
    "dcgm/4.6.0": "kmsg",
    "gpud/main-2026-08": "kmsg",
    "npd/shipped": "kmsg",
    "npd/kmsg-rule": "kmsg",
    "npd/journald-rule": "journal",
    "device-plugin/main-2026-08": "nvml",
    "dynamo/main-2026": "cuda",
}
ALL = [pytest.param(one, id=one.name) for one in detectors()]


def test_every_pattern_is_that_of_its_source() -> None:
    assert {(one.name, rule.name): rule.pattern for one in detectors() for rule in one.rules} == PATTERNS


def test_every_release_reads_what_its_source_says() -> None:
    assert {f"{one.name}/{r.name}": r.reads for one in detectors() for r in one.releases} == READS


def test_nvsentinel_s_buckets_are_those_of_its_source() -> None:
    right = {bucket: action for action, listed in BUCKETS.items() for bucket in listed.split()}
    assert detector("nvsentinel").buckets == right


@pytest.mark.parametrize(
    ("name", "key", "right"),
    [
        ("dcgm", "only", {79, 119, 120}),
        ("device-plugin", "ignores", {13, 31, 43, 45, 68, 109}),
        ("gpud", "ignores", {63, 64}),
    ],
)
def test_xids_that_a_detector_leaves_out(name: str, key: str, right: set[int]) -> None:
    [release] = detector(name).releases
    assert numbers(getattr(release, key)) == right
    assert getattr(release, f"{key}_why")


@pytest.mark.parametrize("one", ALL)
def test_every_fact_says_where_it_stands(one: Detector) -> None:
    assert one.source
    assert all(release.version and release.source for release in one.releases)
    assert all(rule.source for rule in one.rules)
    for release in one.releases:
        assert set(release.rules or ()) <= {rule.name for rule in one.rules}


@pytest.mark.parametrize("one", ALL)
def test_every_rule_s_groups_are_in_its_pattern(one: Detector) -> None:
    for rule in one.rules:
        assert max(rule.pci, rule.number) <= re.compile(rule.pattern).groups


@pytest.mark.parametrize("one", ALL)
def test_no_xid_has_two_answers_and_every_known_one_has_one(one: Detector) -> None:
    listed = [number for answer in one.answers for number in numbers(answer.xids)]
    assert len(listed) == len(set(listed))
    if one.name == "nvsentinel":
        assert {answer.action for answer in one.answers} == {"NONE", *BUCKETS, "CONTACT_SUPPORT"}
    else:
        missing = set(catalogue()) - set(listed)
        assert missing == ({133} if one.name == "gpud" else set()), "gpud's table has no 133"


def test_a_detector_that_is_not_there() -> None:
    with pytest.raises(KeyError):
        detector("../nvsentinel")
