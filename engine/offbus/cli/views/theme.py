"""Glyphs and words of the views. Every glyph comes with a word: neither colour nor Unicode carries meaning alone."""

import re
from dataclasses import dataclass

from offbus.report.spans import Tone

__all__ = ["ASCII", "OUTCOMES", "PHASES", "UNICODE", "Glyphs", "tone_of"]


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

TONES = (
    (Tone.GOOD, r"ready|uncordoned|recovered|answering|good|ok|held|disarmed|ready true"),
    (Tone.BAD, r"ready (false|unknown)|.*\b(ended|lost|expired|failed|failing|error|outage|refused)\b.*"),
    (Tone.DIM, r".*\b(none|removed|deleted|false)"),
    (Tone.CAUTION, r"not ready|cordoned|evicted|terminating|armed|restarted.*|(state|taints) .*|.* true"),
)
"""The tones of statements; the first match counts."""


def tone_of(statement: str) -> Tone:
    """The tone of a statement ("cordoned", "not ready", "state none"); PLAIN when it is not known."""
    return next((tone for tone, words in TONES if re.fullmatch(words, statement, re.IGNORECASE)), Tone.PLAIN)
