"""Which detector sees what: the right values of reference xid-lines.md (measured) and nvsentinel.md."""

import pytest

from offbus_agent.catalogue.catalogue import catalogue
from offbus_agent.catalogue.code_reasons import CUDA_REASONS, GUIDE_REASONS, NVML_REASONS
from offbus_agent.catalogue.published_guides import HARDWARE_GUIDE, TOLD
from offbus_agent.catalogue.sxid import sxids
from offbus_agent.catalogue.xid_effects import SEVERITIES
from offbus_agent.conformance import SURFACES, Cell, cells, faults

ALL = {(c.fault, f"{c.detector}/{c.release}", c.surface): c for c in cells(faults())}
DIALECTS = SURFACES[:5]
RELEASES = sorted({release for _, release, _ in ALL})


def seen(fault: int | str, release: str) -> list[str]:
    """On which surfaces."""
    return [one for one in SURFACES if ALL[str(fault), release, one].detected]


def of(fault: int | str, release: str, surface: str = "marked") -> Cell:
    return ALL[str(fault), release, surface]


@pytest.mark.parametrize(
    ("release", "right"),
    [
        ("nvsentinel/main-2026-08", ["marked", "double", "kernel", "timestamp"]),
        ("nvsentinel/v1.8", ["marked", "double", "kernel", "timestamp"]),
        ("nvsentinel/kernel-facility", []),
        ("nvsentinel/kata", []),
        ("dcgm/4.6.0", ["marked", "bare"]),
        ("gpud/main-2026-08", ["marked", "bare", "double", "kernel", "timestamp"]),
        ("npd/shipped", []),
        ("npd/kmsg-rule", ["marked", "bare", "double", "kernel", "timestamp"]),
        ("npd/journald-rule", ["kernel"]),
        ("device-plugin/main-2026-08", ["nvml"]),
        ("dynamo/main-2026", ["cuda"]),
    ],
)
def test_where_xid_79_is_seen(release: str, right: list[str]) -> None:
    assert seen(79, release) == right


def test_dcgm_keeps_three_xids() -> None:
    kept_by_it = [number for number in catalogue() if seen(number, "dcgm/4.6.0")]
    assert kept_by_it == [79, 119, 120]
    assert "__DCGM_XID_KMSG__" in of(48, "dcgm/4.6.0").why
    assert "until it is restarted" in of(119, "dcgm/4.6.0").does


def test_gpud_sees_all_but_three() -> None:
    assert [number for number in catalogue() if not seen(number, "gpud/main-2026-08")] == [63, 64, 133]


def test_the_device_plugin_leaves_out_errors_of_applications() -> None:
    on_nvml = [number for number, one in catalogue().items() if one.nvml is not None]
    assert [n for n in on_nvml if not seen(n, "device-plugin/main-2026-08")] == [109]
    assert "when a drill asks for it" in of(48, "device-plugin/main-2026-08", "nvml").why
    assert of(13, "device-plugin/main-2026-08", "nvml").why == "the fault has nothing to show on plane nvml"


@pytest.mark.parametrize("release", ["nvsentinel/main-2026-08", "nvsentinel/v1.33", "nvsentinel/v1.8"])
def test_nvsentinel_sees_every_xid_but_where_journald_cuts_it_off(release: str) -> None:
    for number in catalogue():
        assert seen(number, release) == ["marked", "double", "kernel", "timestamp"], number
        assert of(number, release, "bare").why == "journald cuts off 'NVRM:'"


@pytest.mark.parametrize(
    ("fault", "does"),
    [
        (79, "RESTART_BM: cordon, drain, reboot"),
        (43, "NONE: an Event of the node, and nothing else"),
        (74, "CONTACT_SUPPORT: cordon, drain; then a human must act"),
        (20034, "CONTACT_SUPPORT: cordon, drain; then a human must act"),
        (20009, "NONE: an Event of the node, and nothing else"),
        ("fallen-off", "RESTART_BM: cordon, drain, reboot"),
    ],
)
def test_what_nvsentinel_does(fault: int | str, does: str) -> None:
    assert of(fault, "nvsentinel/main-2026-08").does == does


def test_without_metadata_a_reset_is_a_reboot() -> None:
    assert "without the GPU in its metadata file: RESTART_VM" in of(95, "nvsentinel/main-2026-08").does


def test_sxids_and_a_gpu_without_an_xid() -> None:
    assert seen(20034, "nvsentinel/main-2026-08") == ["marked", "double", "kernel", "timestamp"]
    assert seen("fallen-off", "gpud/main-2026-08") == list(DIALECTS)
    assert of(28002, "gpud/main-2026-08").why == "it is not in its table"
    assert of(10003, "nvsentinel/main-2026-08").why.startswith("how the driver words it is not known")


@pytest.mark.parametrize("release", RELEASES)
def test_a_cell_says_why_and_what_is_done_exactly_when_it_is_seen(release: str) -> None:
    for (_, whose, _), cell in ALL.items():
        if whose == release:
            assert cell.why
            assert bool(cell.does) == cell.detected, cell
            assert cell.why.startswith(("rule ", "plane ")) == cell.detected, cell


def test_every_code_has_its_reason_and_no_reason_is_without_a_code() -> None:
    assert set(CUDA_REASONS) == {number for number, one in catalogue().items() if one.cuda}
    assert set(NVML_REASONS) == {number for number, one in catalogue().items() if one.nvml}
    assert set(GUIDE_REASONS) == {number for number, one in catalogue().items() if one.guide_cuda}


def test_the_guides_table_is_whole() -> None:
    assert set(TOLD) == set(SEVERITIES)
    assert set(HARDWARE_GUIDE) == {43, 48, 74, 79, 94, 95}


def test_the_sxids() -> None:
    numbers = list(sxids())
    assert numbers == sorted(set(numbers))
    assert all(number > max(catalogue()) for number in numbers), "a number tells which of the two is meant"
    kinds = [one.kind for one in sxids().values()]
    counted = {kind: kinds.count(kind) for kind in set(kinds)}
    assert counted == {"non-fatal": 28, "fatal": 42, "always fatal": 20, "other": 5}
    line = "nvidia-nvswitch3: SXid (PCI:0000:05:00.0): 20034, Fatal, Link 04 LTSSM Fault Up"
    assert sxids()[20034].line(switch=3, pci="0000:05:00", link=4) == line
    assert sxids()[10003].line(switch=0, pci="0000:05:00", link=0) == ""
