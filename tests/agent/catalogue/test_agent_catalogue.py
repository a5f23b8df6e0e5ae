"""The catalogue: what it says of each XID, and that detectors understand every line that it can produce."""

import re

import pytest

from offbus_agent.catalogue import nvlink5
from offbus_agent.catalogue.catalogue import UnknownXid, catalogue, lookup
from offbus_agent.catalogue.plane import Plane
from offbus_agent.catalogue.responder_action import KNOWING
from offbus_agent.catalogue.result_codes import UnknownCode, cuda_code, nvml_code
from offbus_agent.catalogue.xid_effects import EFFECTS, NVLINK5_XIDS, Mode
from offbus_agent.kernel_log.line import Dialect, xid_line

# The detectors' own patterns, docs/reference/agent.md.
GPUD = re.compile(r"NVRM: Xid \(((?:PCI:)?[0-9a-fA-F:]+)\).*?: (\d+),")
DCGM = re.compile(r"^\d+,\d+,(\d+),.*;NVRM: Xid \(PCI:(.*)\): (\d+),.*")
NVSENTINEL = re.compile(
    r"NVRM: Xid \(PCI:([0-9a-fA-F:.]+)\): (\d+)(?:, pid=(\d+))?(?:, name=([^,]+))?(?:, Ch ([0-9a-fA-F]+))?"
)
NVSENTINEL_NVLINK5 = re.compile(
    r"NVRM: Xid \(PCI:([^)]+)\): (\d+)(?:, pid=[^,]*)?(?:, name=[^,]*)?, (\w+)\s+(\w+)\s+(\w+)\s+(\w+)\s+Link\s+(-?\d+)"
    r"\s+\((0x[0-9a-fA-F]+)\s+(0x[0-9a-fA-F]+)"
)
ALL = [pytest.param(entry, id=str(entry.number)) for entry in catalogue().values()]


def journald_message(text: str) -> str:
    """journald's rule for kernel records that user space wrote: a first word that ends in a colon is cut off."""
    word, _, rest = text.partition(" ")
    return rest if word.endswith(":") else text


@pytest.mark.parametrize("entry", ALL)
@pytest.mark.parametrize("dialect", list(Dialect))
def test_every_line_is_read_by_the_detectors_that_its_dialect_promises(entry, dialect):
    text = entry.text.format(gpu=3)
    line = xid_line(dialect=dialect, fault="a1b2", pci="0000:3b:00", text=text, at_ns=6085126_130000000)
    raw = f"12,345,967340127,-;{line}"
    assert GPUD.search(line).groups() == ("PCI:0000:3b:00", str(entry.number))
    dcgm = DCGM.match(raw)
    assert (dcgm is not None) == (dialect in (Dialect.MARKED, Dialect.BARE))
    assert dcgm is None or dcgm.groups()[1:] == ("0000:3b:00", str(entry.number))
    seen = NVSENTINEL.search(journald_message(line))
    assert (seen is not None) == (dialect is not Dialect.BARE)
    assert seen is None or seen.groups()[:2] == ("0000:3b:00", str(entry.number))


@pytest.mark.parametrize("number", NVLINK5_XIDS)
def test_nvlink5_lines_have_the_shape_that_nvsentinel_decodes(number):
    line = xid_line(
        dialect=Dialect.MARKED, fault="a", pci="0000:3b:00", text=lookup(number).text.format(gpu=0), at_ns=0
    )
    assert NVSENTINEL_NVLINK5.search(line)[2] == str(number)


@pytest.mark.parametrize(
    ("number", "cuda", "nvml", "sentinel"),
    [
        pytest.param(74, 220, 16, "CONTACT_SUPPORT", id="74"),
        pytest.param(94, 226, None, "NONE", id="94"),
        pytest.param(43, 719, None, "NONE", id="43"),
        pytest.param(79, 719, 15, "RESTART_BM", id="79"),
        pytest.param(48, 214, 16, "COMPONENT_RESET", id="48"),
        pytest.param(95, 719, 16, "COMPONENT_RESET", id="95"),
        pytest.param(119, 999, 999, "COMPONENT_RESET", id="119"),
        pytest.param(151, None, None, "RESTART_VM", id="151"),
        pytest.param(63, None, None, "NONE", id="63"),
        pytest.param(172, None, None, "CONTACT_SUPPORT", id="172-empty-cell"),
    ],
)
def test_codes_and_expected_actions(number, cuda, nvml, sentinel):
    entry = lookup(number)
    assert (entry.cuda and entry.cuda.number) == cuda
    assert (entry.nvml and entry.nvml.number) == nvml
    assert entry.action(KNOWING) == sentinel


@pytest.mark.parametrize(
    ("number", "touches_new_processes"), [(94, False), (43, False), (79, True), (95, True), (48, True)]
)
def test_whether_new_processes_are_faulted(number, touches_new_processes):
    assert lookup(number).new_processes is touches_new_processes


def test_a_gpu_that_fell_off_the_bus_is_lost_on_every_plane():
    entry = lookup(79)
    assert entry.mode is Mode.LOST
    assert entry.planes == (Plane.KERNEL, Plane.CUDA, Plane.NVML)
    assert [(e.action, e.whose) for e in entry.expectations] == [
        ("RESTART_BM", "NVIDIA Xid catalogue, immediate action"),
        ("RESTART_BM", "NVSentinel syslog-health-monitor, recommended action"),
    ]


def test_the_published_guides_codes():
    assert {n: str(lookup(n).guide_cuda) for n in (79, 48, 94, 95, 43, 74)} == {
        79: "100 CUDA_ERROR_NO_DEVICE",
        48: "214 CUDA_ERROR_ECC_UNCORRECTABLE",
        94: "214 CUDA_ERROR_ECC_UNCORRECTABLE",
        95: "999 CUDA_ERROR_UNKNOWN",
        43: "702 CUDA_ERROR_LAUNCH_TIMEOUT",
        74: "217 CUDA_ERROR_PEER_ACCESS_UNSUPPORTED",
    }


def test_every_effect_belongs_to_an_xid_of_nvidias_catalogue():
    assert set(EFFECTS) <= set(catalogue())
    assert {n for n, entry in catalogue().items() if entry.text_from_driver} == set(EFFECTS)


def test_an_unknown_xid_is_refused_with_what_is_allowed_and_what_may_be_meant():
    with pytest.raises(UnknownXid) as caught:
        lookup(790)
    assert caught.value.xid == 790
    assert "XID 790 is not in NVIDIA's catalogue (1-172" in caught.value.message
    assert "did you mean 79?" in caught.value.message


def test_a_code_that_no_driver_returns_is_refused_with_those_that_are():
    with pytest.raises(
        UnknownCode, match=r"12345 is not among the CUDA driver results .* 719 CUDA_ERROR_LAUNCH_FAILED"
    ):
        cuda_code(12345)
    with pytest.raises(UnknownCode, match=r"719 is not among the NVML results .* 15 NVML_ERROR_GPU_IS_LOST"):
        nvml_code(719)


class TestNvlink5Decoding:
    """Cases of NVSentinel's own end-to-end test: the same words swap their meaning with driver R575."""

    @pytest.mark.parametrize(
        ("info", "driver", "found"),
        [
            ("0x00000082", 570, "RESET_GPU"),
            ("0x00000004", 570, None),
            ("0x00000004", 575, "RESET_GPU"),
            ("0x00000082", 580, None),
            ("0x00000082", None, "RESET_GPU"),
            ("0x00000004", None, None),
        ],
    )
    def test_the_driver_branch_decides(self, info, driver, found):
        text = f"145, RLW_REMAP Fatal XC0 i0 Link 13 ({info} 0x00000040 0x0 0x0 0x0 0x0)"
        assert nvlink5.bucket(text, driver=driver) == found

    @pytest.mark.parametrize(
        ("version", "found"), [("580.82.07", 580), ("570", 570), ("", None), ("x.1", None), ("٣.1", None)]
    )
    def test_the_branch_of_a_driver_s_version(self, version, found):
        assert nvlink5.branch(version) == found

    @pytest.mark.parametrize("number", NVLINK5_XIDS)
    def test_each_driver_s_line_matches_a_rule_of_its_own_layout(self, number):
        for driver in (570, 580):
            assert nvlink5.bucket(lookup(number).text_on(driver), driver=driver) is not None
        assert lookup(number).text_on(None) == lookup(number).text_on(580)

    def test_the_error_status_is_compared_as_text(self):
        assert nvlink5.bucket("145, RLW_REMAP Fatal XC0 i0 Link 13 (0x4 0x40 0x0)", driver=580) is None

    def test_a_cell_with_several_statuses_admits_each(self):
        line = "150, MSE Fatal XC0 i0 Link 00 (0x0 0xffffffff 0x0)"
        assert nvlink5.bucket(line, driver=580) == "RESET_GPU"

    def test_another_shape_is_said_to_be_none(self):
        with pytest.raises(nvlink5.NotNvlink5, match="not an NVLink 5 line"):
            nvlink5.bucket("145, some text", driver=580)
