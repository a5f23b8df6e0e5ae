"""Numbers, times and evidence as people read them. Pure; ASCII only, so that every terminal and log shows them."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from offbus.journal.events import Event
from offbus.printable import clean

__all__ = ["figure", "in_short", "seconds", "since", "stopwatch", "utc_seconds"]

KEYS = [
    "seq",
    "function",
    "code_name",
    "code",
    "pid",
    "pod",
    "gpu",
    "line",
    "reason",
    "why",
    "message",
    "detail",
]
"""The keys of evidence that are quoted, in this order; all others are in report.json only."""


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


def figure(name: str, value: float, unit: str) -> str:
    """A metric's value with its unit; rates and shares as percent."""
    if unit == "s":
        return f"{value:.2f} s" if 0.9995 <= abs(value) < 9.995 else seconds(value)
    if name.endswith(("_rate", "availability")) and 0 <= value <= 1:
        return f"{value:.2%}".replace("%", " %")
    number = f"{value:,.0f}" if value == int(value) else f"{value:,.3f}"
    return number if unit in ("", "1", "count") else f"{number} {unit}"


def in_short(evidence: Mapping[str, Any]) -> str:
    """The part of some evidence that people look for: "seq 412, cuMemAlloc_v2, CUDA_ERROR_UNKNOWN (999), pid 71"."""
    return ", ".join(_quoted(evidence))


def _quoted(evidence: Mapping[str, Any]) -> Iterator[str]:
    for key in KEYS:
        value = evidence.get(key)
        if value in (None, "", []) or (key == "code" and evidence.get("code_name")):
            continue
        if key == "code_name" and evidence.get("code") is not None:
            yield f"{clean(value)} ({clean(evidence['code'])})"
        elif key in ("seq", "code", "pid", "pod"):
            yield f"{key} {clean(value)}"
        else:
            yield clean(value)


def utc_seconds(stamp: str) -> float:
    """Seconds since 1970 of a journal's `t`."""
    return datetime.fromisoformat(stamp).timestamp()


def since(first: Event, event: Event) -> float:
    """Seconds from one event to another: by the monotonic clock, or by UTC when they are of two clocks (a takeover
    after a reboot or on another machine)."""
    if first["clock"] == event["clock"]:
        return (event["mono_ns"] - first["mono_ns"]) / 1e9
    return utc_seconds(event["t"]) - utc_seconds(first["t"])
