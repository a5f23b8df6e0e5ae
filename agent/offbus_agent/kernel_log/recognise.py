"""Whose is a line of a kernel log: a drill's, another process's, or the driver's own?

    drill     it begins with a drill's mark, and a process wrote it: it says which fault, and so which run
    injected  a driver's words, which a process wrote: a drill in a dialect without a mark, or somebody else's tool
    driver    the driver's own: the record has the kernel's facility, which no process can write
    unknown   a driver's words, and the form of the log does not tell who wrote them
    other     a drill's mark where no drill can have put it

A mark can be forged by whoever may write to the kernel log; that the run's own journal has the line is another
question (`offbus recognise` asks it). A line that is about no fault, and has no mark, is none of these. Pure.
"""

import re
from dataclasses import dataclass
from typing import Literal

from offbus_agent.kernel_log.line import MARK
from offbus_agent.kernel_log.log_forms import KERNEL, LogLine

__all__ = ["Recognised", "Verdict", "recognise"]

Verdict = Literal["drill", "injected", "driver", "unknown", "other"]
_MARKED = re.compile(rf"{MARK}([A-Za-z0-9][A-Za-z0-9._-]{{0,62}}) ;(.*)", re.DOTALL)
_RUNS_FAULT = re.compile(r"([0-9a-f]{8})-([a-z][a-z0-9-]*)-[0-9a-f]{10}")
"""How a run names its faults: its id, the step's, and what is not to be guessed (offbus_steps.inject.inject)."""
_FAULTS = (
    ("xid", re.compile(r"(?:NVRM: )?\bXid \((?:PCI:)?([0-9a-fA-F:.]{5,40})[^)]{0,40}\): (\d{1,9})\b")),
    ("sxid", re.compile(r"\bSXid \((?:PCI:)?([0-9a-fA-F:.]{5,40})\): (\d{1,9})\b")),
    ("fallen-off", re.compile(r"NVIDIA GPU ([0-9a-fA-F:.]{5,40})\b.{0,200}fallen off the bus", re.DOTALL)),
    ("fallen-off", re.compile(r"GPU ([0-9a-fA-F:.]{5,40}): GPU has fallen off the bus")),
    ("reset", re.compile(r"GPU reset executed: (GPU-[0-9a-fA-F-]{1,40})")),
)


@dataclass(frozen=True, slots=True)
class Recognised:
    """A line that is about a fault, or has a drill's mark."""

    verdict: Verdict
    why: str
    text: str
    """What was logged, from the mark on where there is one."""
    kind: str = ""
    """xid, sxid, fallen-off, reset (a drill's all-clear, or the real one); "" when it is about none of these."""
    number: int | None = None
    """The XID or SXID."""
    location: str = ""
    """The PCI address, or the UUID of a reset, as the line spells it."""
    fault: str = ""
    """The fault's id in a drill's mark."""
    run: str = ""
    """The run of which the fault is; "" when its id is not one that runs make."""
    step: str = ""
    """The step that injected it, `-` for `_`, and maybe cut."""


def recognise(line: LogLine) -> Recognised | None:
    """Whose line it is; None for one that is about no fault."""
    for text in line.texts:
        if (marked := _MARKED.match(text)) is not None:
            return _marked(line, text, marked)
    text = line.texts[-1]
    kind, number, location = _about(text)
    if not kind:
        return None
    verdict, why = _written_by(line)
    return Recognised(verdict, why, text, kind, number, location)


def _marked(line: LogLine, text: str, found: re.Match[str]) -> Recognised:
    kind, number, location = _about(found[2])
    fault, ids = found[1], _RUNS_FAULT.fullmatch(found[1])
    run, step = (ids[1], ids[2]) if ids is not None else ("", "")
    verdict: Verdict = "drill"
    why = "it has a drill's mark" if run else "it has a drill's mark, of a fault that no run made"
    if line.facility == KERNEL:
        verdict, why = "other", "it has a drill's mark, and the kernel's facility, which no process can write"
    elif line.transport not in (None, "kernel"):
        verdict, why = (
            "other",
            f"it has a drill's mark, and came by {line.transport!r}, not by the kernel log",
        )
    return Recognised(verdict, why, text, kind, number, location, fault, run, step)


def _about(text: str) -> tuple[str, int | None, str]:
    for kind, pattern in _FAULTS:
        if (found := pattern.search(text)) is not None:
            return kind, int(found[2]) if pattern.groups > 1 else None, found[1]
    return "", None, ""


def _written_by(line: LogLine) -> tuple[Verdict, str]:
    if line.transport not in (None, "kernel"):
        return "injected", f"it came by {line.transport!r}, not by the kernel log"
    if line.facility is not None:
        if line.facility == KERNEL:
            return "driver", "it has the kernel's facility, which no process can write"
        return "injected", f"a process wrote it: it has facility {line.facility}, not the kernel's"
    if line.identifier is not None and line.identifier != "kernel":
        return "injected", f"a process wrote it: its identifier is {line.identifier!r}, not 'kernel'"
    return (
        "unknown",
        "this form of the log does not tell who wrote it: take /dev/kmsg, or journalctl -k -o json",
    )
