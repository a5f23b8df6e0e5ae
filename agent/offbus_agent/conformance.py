"""Which detector sees which fault, and what it would do: every catalogued fault, on every surface, for every release.

Job: write each fault's line in each dialect, as the agent does, and match the record with the detector's own rules
(`offbus_agent.detectors`), through journald where it reads the journal. A detector that reads NVML's events, or ends
with its own CUDA calls, sees a fault on that plane, if the fault has something to show there. Nothing is asked of a
network, a node or a file but the rules: offline, and the same everywhere. A cell says which rule found the fault, or
why none did.

A plane that is not among a fault's own (`Xid.planes`) is seen only when a drill asks for it. Pure.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal

from offbus_agent.catalogue.catalogue import Xid, catalogue
from offbus_agent.catalogue.plane import Plane
from offbus_agent.catalogue.responder_action import KNOWING, Action, Monitor
from offbus_agent.catalogue.sxid import FALLEN_OFF, FALLEN_OFF_ACTION, Sxid, sxids
from offbus_agent.detectors.journald import Record, journal_entry
from offbus_agent.detectors.rules import Detector, Release, Rule, detectors, numbers
from offbus_agent.kernel_log.line import Dialect, driver_line

__all__ = ["SURFACES", "Cell", "Fault", "cells", "does", "faults", "surfaces_of"]

Kind = Literal["xid", "sxid", "fallen-off"]
SURFACES = (*(dialect.value for dialect in Dialect), Plane.NVML.value, Plane.CUDA.value)
"""Where a detector may see a fault: the kernel log, by the dialect of the line, and two planes."""
_PLANES = {
    Plane.NVML.value: "it reads NVML's events",
    Plane.CUDA.value: "it reads what its own CUDA calls answer",
}
UNKNOWING = Monitor(driver=None, lists_gpu=False)
"""A monitor whose metadata file is missing, or does not list the GPU."""
_PCI, _SWITCH_PCI, _FAULT = "0000:3b:00", "0000:c3:00", "7f3a91"
_USER, _WARNING = 1, 4
"""What the kernel makes of a line that a process writes: facility user, level warning."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One catalogued fault."""

    kind: Kind
    number: int
    """0 for a GPU that fell off without an XID."""
    entry: Xid | Sxid | None

    @property
    def name(self) -> str:
        """As the command line takes it: "79", "20034", "fallen-off"."""
        return str(self.number) if self.number else self.kind

    @property
    def text(self) -> str:
        """The driver's line; "" where its form is not known."""
        if isinstance(self.entry, Xid):
            return f"NVRM: Xid (PCI:{_PCI}): {self.entry.text.format(gpu=0)}"
        if isinstance(self.entry, Sxid):
            return self.entry.line(switch=0, pci=_SWITCH_PCI, link=28)
        return FALLEN_OFF.format(pci=_PCI, device="2330")

    def action(self, monitor: Monitor) -> Action:
        """What NVSentinel recommends."""
        if isinstance(self.entry, Xid):
            return self.entry.action(monitor, writer=None)
        return self.entry.action if isinstance(self.entry, Sxid) else FALLEN_OFF_ACTION


@dataclass(frozen=True, slots=True)
class Cell:
    """One fault on one surface, for one release of a detector."""

    fault: str
    detector: str
    release: str
    surface: str
    detected: bool
    why: str
    """The rule that found it, or why none did."""
    does: str
    """What the detector does about it; "" when it does not see it."""


@cache
def faults() -> tuple[Fault, ...]:
    """All: XIDs, SXIDs, and the GPU without an XID."""
    known = [Fault("xid", number, entry) for number, entry in catalogue().items()]
    switches = [Fault("sxid", number, entry) for number, entry in sxids().items()]
    return (*known, *switches, Fault("fallen-off", 0, None))


def cells(wanted: Iterable[Fault]) -> Iterator[Cell]:
    """Every cell of these faults, in the order of faults, detectors, releases and surfaces."""
    for fault in wanted:
        records = dict(_records(fault))
        for detector in detectors():
            said = does(detector, fault)
            for release in detector.releases:
                for surface in SURFACES:
                    detected, why = _seen(detector, release, fault, surface, records)
                    yield Cell(
                        fault.name,
                        detector.name,
                        release.name,
                        surface,
                        detected,
                        why,
                        said if detected else "",
                    )


def surfaces_of(fault: Fault) -> tuple[str, ...]:
    """The planes, beside the kernel log, on which a fault has something to show."""
    if not isinstance(fault.entry, Xid):
        return ()
    shows = ((Plane.NVML, fault.entry.nvml), (Plane.CUDA, fault.entry.cuda))
    return tuple(plane.value for plane, code in shows if code is not None)


def does(detector: Detector, fault: Fault) -> str:
    """What a detector does about a fault that it sees; "" when nobody has noted it."""
    if detector.buckets:
        says = {answer.action: answer.says for answer in detector.answers}
        knowing, other = (fault.action(monitor) for monitor in (KNOWING, UNKNOWING))
        without = f" (without the GPU in its metadata file: {other})" if other != knowing else ""
        return f"{knowing}: {says[knowing]}{without}"
    of_kind = "sxids" if fault.kind == "sxid" else "xids"
    number = 79 if fault.kind == "fallen-off" else fault.number  # where it counts at all, it counts as 79
    return next((one.says for one in detector.answers if number in numbers(getattr(one, of_kind))), "")


def _records(fault: Fault) -> Iterator[tuple[str, tuple[str, Record]]]:
    if fault.text:
        for dialect in Dialect:
            line = driver_line(dialect=dialect, fault=_FAULT, line=fault.text, at_ns=6_085_126_134_786_000)
            raw = f"{_USER << 3 | _WARNING},342,967340127,-;{line}"
            yield dialect.value, (raw, Record(_USER, _WARNING, 342, 967340127, line))


def _seen(
    detector: Detector,
    release: Release,
    fault: Fault,
    surface: str,
    records: dict[str, tuple[str, Record]],
) -> tuple[bool, str]:
    if release.reads in _PLANES:
        return _on_plane(release, fault, surface)
    if surface in _PLANES:
        return False, "it reads the kernel log"
    if surface not in records:
        return False, "how the driver words it is not known: no line is written"
    raw, record = records[surface]
    if (refused := _refused(release, record)) is not None:
        return False, refused
    text = journal_entry(record).message if release.reads == "journal" else record.text
    rules = [rule for rule in detector.rules_of(release) if rule.finds == fault.kind or not rule.number]
    rule = next((rule for rule in rules if rule.match(text, raw)), None)
    if rule is None:
        return False, _why_not(rules, text, record.text)
    left_out = _left_out(release, fault)
    if release.tabled and not left_out and not does(detector, fault):
        left_out = "it is not in its table"
    return not left_out, left_out or f"rule {rule.name}"


def _on_plane(release: Release, fault: Fault, surface: str) -> tuple[bool, str]:
    if surface != release.reads:
        return False, _PLANES[release.reads]
    if surface not in surfaces_of(fault):
        return False, f"the fault has nothing to show on plane {surface}"
    left_out = _left_out(release, fault)
    asked_for = isinstance(fault.entry, Xid) and surface not in fault.entry.planes
    return not left_out, left_out or f"plane {surface}{', when a drill asks for it' if asked_for else ''}"


def _refused(release: Release, record: Record) -> str | None:
    """Why its filter on journal entries lets no record of ours through; None when it does, or there is none."""
    if release.unit:
        return f"it takes entries of {release.unit} alone"
    if release.facility is not None and record.facility != release.facility:
        return f"it takes facility {release.facility} alone, which no process can write"
    if release.identifier and journal_entry(record).identifier != release.identifier:
        return f"it takes entries whose identifier is {release.identifier!r} alone"
    return None


def _why_not(rules: list[Rule], text: str, whole: str) -> str:
    if not rules:
        return "no rule for it"
    cut = text != whole and any(rule.match(whole) for rule in rules)
    return f"journald cuts off {whole.split(' ', 1)[0]!r}" if cut else "no rule matches the line"


def _left_out(release: Release, fault: Fault) -> str:
    if fault.kind != "xid":
        return ""
    if release.only and fault.number not in numbers(release.only):
        return release.only_why
    return release.ignores_why if fault.number in numbers(release.ignores) else ""
