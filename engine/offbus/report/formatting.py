"""Numbers, times and evidence as people read them. Pure; ASCII only, so that every terminal and log shows them."""

from datetime import datetime

from offbus.journal.events import Event
from offbus.printable import clean
from offbus.report.model import MetricReport, ResidueReport, TimelineEntry, UndoReport

__all__ = [
    "figure",
    "in_brief",
    "measured",
    "seconds",
    "since",
    "stopwatch",
    "utc_seconds",
    "why_pending",
    "why_residue",
]

ENGINE_LANES = ("step", "undo")
"""Lanes of the engine's own entries that have evidence: the message of an attempt, the detail of an undo."""


def seconds(value: float) -> str:
    """A duration: "412 ms", "31.2 s", "3m 05s", "1h 02m"."""
    if value < 0.9995:
        return f"{value * 1000:.0f} ms"
    if value < 59.95:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    return f"{whole // 3600}h {whole % 3600 // 60:02d}m"


def stopwatch(value: float) -> str:
    """Time that passes: "0:13", "12:05", "1:02:03"."""
    whole = max(0, int(value))
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


def figure(value: float, unit: str, *, share: bool = False) -> str:
    """A metric's value with its unit; a share as percent."""
    if unit == "s":
        return f"{value:.2f} s" if 0.9995 <= abs(value) < 9.995 else seconds(value)
    if share and 0 <= value <= 1:
        return f"{value:.2%}".replace("%", " %")
    number = f"{value:,.0f}" if value == int(value) else f"{value:,.3f}"
    return number if unit in ("", "1", "count") else f"{number} {clean(unit)}"


def measured(metric: MetricReport) -> str:
    """A metric's value, as a figure."""
    return figure(metric.value, metric.unit, share=metric.share)


def in_brief(entry: TimelineEntry) -> str:
    """An entry's evidence in one line: what its emitter says, and in the engine's own lanes what the engine wrote."""
    own = entry.evidence if entry.lane in ENGINE_LANES and not entry.brief else {}
    return clean(entry.brief or own.get("message") or own.get("detail") or "")


def why_residue(one: ResidueReport) -> str:
    """The reason that residue is, among those of a verdict."""
    return f"residue: {one.item}: {one.detail}"


def why_pending(one: UndoReport) -> str:
    """The reason that an undo is which is not resolved, nor reported as residue."""
    return f"not undone: {one.describe}"


def utc_seconds(stamp: str) -> float:
    """Seconds since 1970 of a journal's `t`."""
    return datetime.fromisoformat(stamp).timestamp()


def since(first: Event, event: Event) -> float:
    """Seconds from one event to another: by the monotonic clock, or by UTC when they are of two clocks (a takeover
    after a reboot or on another machine)."""
    if first["clock"] == event["clock"]:
        return (event["mono_ns"] - first["mono_ns"]) / 1e9
    return utc_seconds(event["t"]) - utc_seconds(first["t"])
