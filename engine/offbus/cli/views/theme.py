"""Glyphs and words of the views. Every glyph comes with a word: neither colour nor Unicode carries meaning alone."""

from dataclasses import dataclass

from offbus.report.spans import Tone

__all__ = ["ASCII", "OUTCOMES", "PHASES", "UNICODE", "Glyphs"]


@dataclass(frozen=True, slots=True)
class Glyphs:
    """One character each, but for `more`."""

    good: str
    bad: str
    active: str
    waiting: str
    skipped: str
    dot: str
    rule: str
    more: str


UNICODE = Glyphs(good="✓", bad="✗", active="●", waiting="○", skipped="–", dot="·", rule="─", more="…")
ASCII = Glyphs(good="+", bad="x", active="*", waiting=".", skipped="-", dot="-", rule="-", more="..")

OUTCOMES = {
    "passed": (Tone.GOOD, "good"),
    "failed": (Tone.BAD, "bad"),
    "errored": (Tone.BAD, "bad"),
    "timed_out": (Tone.BAD, "bad"),
    "cancelled": (Tone.CAUTION, "skipped"),
    "skipped": (Tone.DIM, "skipped"),
    "running": (Tone.STRONG, "active"),
    "pending": (Tone.DIM, "waiting"),
}
"""Outcome -> tone, name of its glyph."""

PHASES = {
    "": "starting",
    "open": "opening the environment",
    "steps": "running",
    "always": "running the always steps",
    "undo": "undoing",
    "settle": "watching that nothing more happens",
    "close": "closing",
}
"""The run's phases, as the header shows them."""
