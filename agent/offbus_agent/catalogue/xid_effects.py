"""How each XID shows: its kernel text, the results that processes see, the counters that NVML shows beside them.

Job: the hand-written half of the catalogue (the other half is NVIDIA's own table, `data/xid_catalog.csv`). It must not
know expectations or write anything. An XID without a row here has only its kernel line, from its title.

Kernel texts are those of the driver's source (open-gpu-kernel-modules 595.45.04) or of public driver logs; process ids
are written as the driver writes unknown ones, so that no line blames an innocent process. Codes follow cuda.h, nvml.h
and public reports (docs/reference/agent.md); a row's `note` says where they vary by driver or were not confirmed on a
GPU.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

__all__ = [
    "EFFECTS",
    "GUIDE_CUDA",
    "NVLINK5_XIDS",
    "SEVERITIES",
    "UNKNOWN_PROCESS",
    "Effect",
    "Mode",
    "Severity",
    "Shown",
]


class Mode(StrEnum):
    """How faulted calls behave: they fail, block until the fault is disarmed, are delayed, or the whole GPU is gone."""

    ERROR = "error"
    HANG = "hang"
    DELAY = "delay"
    LOST = "lost"


class Severity(StrEnum):
    """How bad the published guides call an XID; NVIDIA's catalogue has no such column."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"
    UNKNOWN = "unknown"
    """No guide says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What NVML shows besides its code and the XID's own event; the page's fields of the same names (`page.slot`)."""

    nvml_events: int = 0
    recovery_action: int = 0
    remapped_uncorrectable: int = 0
    remap_pending: int = 0
    remap_failed: int = 0
    ecc_corrected: int = 0
    ecc_uncorrected: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """How one XID shows on a node."""

    text: str
    """The kernel line after `NVRM: Xid (PCI:...): `: the number, a comma, words; `{gpu}` is an index."""
    text_before_r575: str = ""
    """As drivers before R575 write it, where that differs."""
    cuda: int | None = None
    """CUresult of running processes; None when they see nothing."""
    nvml: int | None = None
    """nvmlReturn_t when the nvml plane is requested; None when no sensible one exists."""
    sticky: bool = True
    """The process keeps failing until it ends (cuda.h: "the process must be terminated and relaunched")."""
    new_processes: bool = False
    """Processes that start while the fault is armed are faulted too."""
    mode: Mode = Mode.ERROR
    nvml_usually: bool = False
    """On real hardware NVML calls fail too; if not, `nvml` is what the plane returns on request."""
    shown: Shown = Shown()
    note: str = ""


_DOUBLE_BIT = Shown(nvml_events=0x2, ecc_uncorrected=1)
_RESET_WANTED = Shown(nvml_events=0x8000, recovery_action=1)
"""Events are nvmlEventType* of nvml.h; the recovery action is what the driver's XID 154 says after these faults."""

UNKNOWN_PROCESS = "pid='<unknown>', name=<unknown>, "
"""What the driver prints before the message when the process is unknown (older drivers; newer ones omit it)."""

NVLINK5_XIDS = range(144, 151)
"""XIDs whose lines have the NVLink 5 shape; `nvlink5` parses them."""


_ZEROES = " ".join(["0x00000000"] * 4)


def _nvlink5(head: str, info: tuple[int, int], rest: str, *, fatal: bool) -> Effect:
    """A line of the NVLink 5 shape. `info` is its intrInfo word before R575 and from it on: the sub-code moved from
    bits 9:5 to 6:0, the unit's bits below it went (the decode sheet's two pattern columns)."""
    before, text = (f"{head} (0x{word:08x} {rest})" for word in info)
    if not fatal:
        return Effect(
            text=text, text_before_r575=before, sticky=False, note="non-fatal form: only counters move"
        )
    return Effect(
        text=text, text_before_r575=before, cuda=220, nvml=16, new_processes=True, shown=_RESET_WANTED
    )


EFFECTS: Mapping[int, Effect] = {
    13: Effect(
        text=f"13, {UNKNOWN_PROCESS}Graphics SM Warp Exception on (GPC 1, TPC 3, SM 0): Out Of Range Address",
        cuda=719,
    ),
    31: Effect(
        text=f"31, {UNKNOWN_PROCESS}Ch 00000007, intr 00000000. MMU Fault: ENGINE GRAPHICS"
        " GPCCLIENT_T1_0 faulted @ 0x7fc1_23456000. Fault is of type FAULT_PDE ACCESS_TYPE_VIRT_READ",
        cuda=700,
    ),
    43: Effect(text=f"43, {UNKNOWN_PROCESS}Ch 00000008", cuda=719),
    45: Effect(
        text=f"45, {UNKNOWN_PROCESS}Ch 00000001",
        cuda=719,
        note="has no code of its own: processes see that of the root cause",
    ),
    48: Effect(
        text=f"48, {UNKNOWN_PROCESS}An uncorrectable double bit error (DBE) has been detected on GPU in the"
        " framebuffer at physAddr 0x18f31d80 partition 16, subpartition 3.",
        cuda=214,
        nvml=16,
        new_processes=True,
        shown=_DOUBLE_BIT,
    ),
    63: Effect(
        text="63, Row Remapper: New row (0x0000000018f31d80) marked for remapping, reset gpu to activate.",
        sticky=False,
        shown=Shown(nvml_events=0x400, remapped_uncorrectable=1, remap_pending=1),
    ),
    64: Effect(
        text="64, Row Remapper Error: (0x0000000018f31d80) - All reserved rows for bank are remapped",
        sticky=False,
        shown=Shown(nvml_events=0x800, remap_failed=1),
    ),
    74: Effect(
        text=f"74, {UNKNOWN_PROCESS}NVLink: fatal error detected on link 14"
        "(0x0, 0x0, 0x10000, 0x0, 0x0, 0x0, 0x0)",
        cuda=220,
        nvml=16,
        note="single-GPU work continues on real hardware; collectives fail or hang",
    ),
    79: Effect(
        text=f"79, {UNKNOWN_PROCESS}GPU has fallen off the bus.",
        cuda=719,
        nvml=15,
        new_processes=True,
        mode=Mode.LOST,
        nvml_usually=True,
        note="719 or 999, by driver",
    ),
    92: Effect(
        text="92, Disabling ECC single-bit error interrupts in framebuffer at logical partition 3,"
        " due to high error rate",
        sticky=False,
        shown=Shown(nvml_events=0x1, ecc_corrected=1),
    ),
    94: Effect(
        text=f"94, {UNKNOWN_PROCESS}Contained: SM (0x1). RST: No, D-RST: No",
        cuda=226,
        note="older drivers answer 214",
    ),
    95: Effect(
        text=f"95, {UNKNOWN_PROCESS}Uncontained: LTC TAG (0x2, 0x1). RST: Yes, D-RST: No",
        cuda=719,
        nvml=16,
        new_processes=True,
        nvml_usually=True,
        shown=_RESET_WANTED,
        note="214 or 719 in every process of the GPU",
    ),
    109: Effect(
        text=f"109, {UNKNOWN_PROCESS}Ch 00000008, errorString CTX SWITCH TIMEOUT, Info 0x58005",
        cuda=719,
        nvml=16,
        note="code not confirmed on hardware",
    ),
    110: Effect(
        text="110, SEC_FAULT: _FAULT_FUSE_POD",
        cuda=719,
        nvml=15,
        new_processes=True,
        mode=Mode.LOST,
        nvml_usually=True,
        note="only a cold reset helps, as with 79",
    ),
    119: Effect(
        text=f"119, {UNKNOWN_PROCESS}Timeout after 6s of waiting for RPC response from GPU{{gpu}} GSP!"
        " Expected function 76 (GSP_RM_CONTROL) (0x20803032 0x58c).",
        cuda=999,
        nvml=999,
        new_processes=True,
        nvml_usually=True,
        note="real calls block 6 s (data centre) or 45 s each before they fail: mode hang rehearses that",
    ),
    120: Effect(
        text="120, GSP task exception: load access page fault (cause:0xd) @ pc:0x140ca4a,"
        " partition:4#0, task:3",
        cuda=999,
        nvml=999,
        new_processes=True,
        nvml_usually=True,
        note="code not confirmed on hardware",
    ),
    137: Effect(text="137, RLW_RXPIPE interrupt hit on link 11 on GPU{gpu}: PRIV Error", cuda=226),
    140: Effect(
        text="140, An uncorrectable ECC error detected (possible firmware handling failure)"
        " DRAM:2, LTC:0, MMU:0, PCIE:0",
        cuda=214,
        nvml=16,
        new_processes=True,
        shown=_DOUBLE_BIT,
    ),
    143: Effect(
        text="143, Error status 0x65 while polling for FSP boot complete, 0x0, 0x9f, 0x110186, 0x1103c0, 0x5",
        cuda=999,
        nvml=999,
        new_processes=True,
        nvml_usually=True,
        note="the GPU does not initialise: new processes answer 100 or 999",
    ),
    144: _nvlink5("144, SAW_MVB Fatal XC0 i0 Link 00", (0x21, 0x01), f"0x00000002 {_ZEROES}", fatal=True),
    145: _nvlink5(
        "145, RLW_RXPIPE Nonfatal XC0 i0 Link 13",
        (0x0409A0C2, 0x0409A006),
        "0x00000008 0x00000001 0x00000000 0x00100000 0x00000004",
        fatal=False,
    ),
    146: _nvlink5(
        "146, TLW_RX_PIPE0 Fatal XC0 i0 Link 03", (0x143, 0x0A), f"0x00000004 {_ZEROES}", fatal=True
    ),
    147: _nvlink5("147, TREX Nonfatal XC0 i0 Link 00", (0x184, 0x0E), f"0x80000000 {_ZEROES}", fatal=False),
    148: _nvlink5(
        "148, NVLPW_CTRL Nonfatal XC0 i0 Link 05", (0x05, 0x0F), f"0x80000000 {_ZEROES}", fatal=False
    ),
    # Public logs show 149 in the older layout, 145 too; their newer words are composed from the decode sheet.
    149: _nvlink5(
        "149, NETIR_LINK_EVT  Fatal   XC0 i0 Link 09",
        (0x025001C6, 0x02500011),
        f"0x00000000 {_ZEROES}",
        fatal=True,
    ),
    150: _nvlink5("150, MSE_WATCHDOG Fatal XC0 i0 Link 00", (0, 0), f"0x00000000 {_ZEROES}", fatal=True),
    154: Effect(
        text="154, GPU recovery action changed from 0x0 (None) to 0x1 (GPU Reset Required)",
        sticky=False,
        shown=_RESET_WANTED,
    ),
}

GUIDE_CUDA: Mapping[int, int] = {79: 100, 48: 214, 94: 214, 95: 999, 43: 702, 74: 217}
"""CUDA codes of the published user guide ("Supported XID Types"), used with `codes: guide`."""

SEVERITIES: Mapping[int, Severity] = {
    43: Severity.MEDIUM,
    48: Severity.HIGH,
    74: Severity.HIGH,
    79: Severity.CRITICAL,
    94: Severity.LOW,
    95: Severity.CRITICAL,
    119: Severity.MEDIUM,
    120: Severity.MEDIUM,
}
"""The published testing guide's table ("Available XID Errors"); the hardware guide's differs (48: critical)."""
