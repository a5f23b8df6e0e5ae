"""The text of a kernel line: dialects, and the check of every line; a GPU's address is spelt by `gpus`.

Job: build `NVRM: Xid (PCI:dddd:bb:dd): N, ...` as detectors accept it, and guarantee that one text is one record. A
caller's text reaches the log only if `checked` accepts it: printable ASCII without backslash (the kernel shows anything
else as \\xNN, so it could not be read back as written), no line end, under 900 bytes with its prefix. It must not open
files. Violations raise `UnsafeLine`. `XidLine` and `ResetLine` are lines as fields: the kernel-log helper is sent these
and has the same texts from `make generate` (shim/kmsg_helper/kernel_lines.h).

Dialects (docs/reference/agent.md has the measured table of which detector accepts which):

    marked     offbus=ID ;NVRM: Xid ...   gpud, DCGM, NVSentinel; carries the drill's id; the default
    bare       NVRM: Xid ...              gpud, DCGM; journald eats the first word, so not NVSentinel
    double     NVRM: NVRM: Xid ...        gpud, NVSentinel; the form of the published guides
    kernel     kernel: NVRM: Xid ...      gpud, NVSentinel, node-problem-detector, syslog greps
    timestamp  [SECONDS] NVRM: Xid ...    gpud, NVSentinel; the form of NVSentinel's own acceptance test
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from offbus_agent.catalogue.catalogue import NO_XID, lookup
from offbus_agent.catalogue.nvlink5 import FIRST_R575

__all__ = [
    "LIMIT",
    "MARK",
    "Dialect",
    "KernelLine",
    "ResetLine",
    "UnsafeLine",
    "XidLine",
    "checked",
    "driver_line",
    "reset_line",
    "xid_line",
]

LIMIT = 900
"""Bytes of one write to the kernel log, prefix and line end included; older kernels refuse from 976 on."""

MARK = "offbus="
"""How a line of the marked dialect begins; the fault's id, a space and `;` follow."""

_PRINTABLE = re.compile(r"[ -\[\]-~]+")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_PCI = re.compile(r"[0-9a-fA-F]{4,8}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2}")
_UUID = re.compile(r"GPU-[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_PREFIX_ROOM = len("<15>\n")


class UnsafeLine(ValueError):
    """Raised when a text would not be exactly one readable record; the message shows it quoted."""


class Dialect(StrEnum):
    """How the line starts, which decides which detectors recognise it."""

    MARKED = "marked"
    BARE = "bare"
    DOUBLE = "double"
    KERNEL = "kernel"
    TIMESTAMP = "timestamp"


@dataclass(frozen=True, slots=True, kw_only=True)
class XidLine:
    """An XID's line for one GPU."""

    level: ClassVar[int] = 4
    """Syslog level: warning, as the driver's own."""
    xid: int
    """Of the catalogue."""
    before_r575: bool
    """Whether it is written as by drivers before R575."""
    gpu: int
    """The GPU's index, which some texts name."""
    dialect: Dialect
    fault: str
    pci: str

    def text(self, at_ns: int) -> str:
        """The whole line at a time of CLOCK_BOOTTIME, checked. Raises UnsafeLine, UnknownXid."""
        entry = lookup(self.xid)
        if self.xid == NO_XID:
            line = entry.line(pci=self.pci, gpu=self.gpu, driver=None)
            return driver_line(dialect=self.dialect, fault=self.fault, line=line, at_ns=at_ns)
        text = entry.text_on(FIRST_R575 - 1 if self.before_r575 else None).format(gpu=self.gpu)
        return xid_line(dialect=self.dialect, fault=self.fault, pci=self.pci, text=text, at_ns=at_ns)


@dataclass(frozen=True, slots=True)
class ResetLine:
    """The line of a GPU's reset."""

    level: ClassVar[int] = 3
    """Syslog level: error, as NVSentinel's job logs it (`logger -p daemon.err`)."""
    gpu: str
    """Its full UUID."""

    def text(self, at_ns: int) -> str:
        """The whole line, at whatever time, checked. Raises UnsafeLine."""
        return reset_line(self.gpu)


KernelLine = XidLine | ResetLine


def xid_line(*, dialect: Dialect, fault: str, pci: str, text: str, at_ns: int) -> str:
    """The whole line, checked. `pci` is spelt as in the node's metadata, without function digit.

    `text` starts with the XID and a comma; `at_ns` is CLOCK_BOOTTIME, for the timestamp dialect.
    Raises UnsafeLine.
    """
    if not _PCI.fullmatch(pci):
        raise UnsafeLine(f"PCI address {pci!r} is not spelt dddd:bb:dd")
    if not re.match(r"\d+, ", text):
        raise UnsafeLine(f"the text {text!r} must start with the XID and a comma: gpud and DCGM require it")
    return driver_line(dialect=dialect, fault=fault, line=f"NVRM: Xid (PCI:{pci}): {text}", at_ns=at_ns)


def driver_line(*, dialect: Dialect, fault: str, line: str, at_ns: int) -> str:
    """Any line of a driver, opened as the dialect says, and checked. Raises UnsafeLine."""
    if not _ID.fullmatch(fault):
        raise UnsafeLine(f"fault id {fault!r} may only hold letters, digits and . _ - (at most 63)")
    return checked(_opening(dialect, fault, line.partition(" ")[0], at_ns) + line)


def reset_line(gpu: str) -> str:
    """The line that NVSentinel's GPU reset job logs at its end (its `gpu-reset` script): clears that GPU's faults.

    It needs no dialect: its first word has no colon, so journald leaves it whole. `gpu` is a full UUID. Raises
    UnsafeLine.
    """
    if not _UUID.fullmatch(gpu):
        raise UnsafeLine(f"{gpu!r} is not a full GPU UUID: a responder could not tell which GPU was reset")
    return checked(f"GPU reset executed: {gpu}, success: true")


def checked(line: str) -> str:
    """`line` itself, if it is exactly one record in every kernel log. Raises UnsafeLine."""
    if not _PRINTABLE.fullmatch(line):
        raise UnsafeLine(f"a kernel line may only hold printable ASCII without backslash: {line!r}")
    if len(line) + _PREFIX_ROOM >= LIMIT:
        raise UnsafeLine(
            f"a kernel line with its prefix must be under {LIMIT} bytes; this one has {len(line)}"
        )
    return line


def _opening(dialect: Dialect, fault: str, word: str, at_ns: int) -> str:
    match dialect:
        case Dialect.MARKED:
            return f"{MARK}{fault} ;"
        case Dialect.DOUBLE:
            return f"{word} "
        case Dialect.KERNEL:
            return "kernel: "
        case Dialect.TIMESTAMP:
            return f"[{at_ns // 10**9}.{at_ns % 10**9 // 1000:06d}] "  # cut to microseconds, as by printk
        case Dialect.BARE:
            return ""
