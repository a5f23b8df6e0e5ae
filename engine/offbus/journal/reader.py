"""Reads journals back: tolerates a torn last line, reports a damaged middle.

A torn tail is what `kill -9` in the middle of a write leaves; it is cut off by whoever takes the run over. A damaged
line before the end means that somebody or something changed the file: the events before and after it are still
returned, and `damage` says where, so that what is known can still be undone.
"""

from dataclasses import dataclass, field
from pathlib import Path

from offbus.errors import JournalError
from offbus.journal.codec import DamagedLine, decode
from offbus.journal.events import Event

__all__ = ["Damage", "Journal", "read_journal"]


@dataclass(frozen=True, slots=True)
class Damage:
    """A line that is not an event."""

    line: int
    why: str


@dataclass(slots=True)
class Journal:
    """What a journal file holds."""

    path: Path
    events: list[Event] = field(default_factory=list)
    damage: list[Damage] = field(default_factory=list)
    torn_bytes: int = 0
    """Length of an incomplete last line."""
    good_bytes: int = 0
    """Length of the file without that line."""

    @property
    def next_seq(self) -> int:
        """The number of the next event."""
        return self.events[-1]["seq"] + 1 if self.events else 1


def read_journal(path: Path) -> Journal:
    """Read a journal. Raises JournalError when it cannot be read at all."""
    try:
        raw = path.read_bytes()
    except OSError as err:
        raise JournalError(f"cannot read the journal {path}: {err.strerror}") from err
    journal = Journal(path)
    lines = raw.splitlines(keepends=True)
    for number, line in enumerate(lines, start=1):
        try:
            event = decode(line)
        except (DamagedLine, ValueError, KeyError, TypeError) as err:
            if number == len(lines):
                journal.torn_bytes = len(line)
                break
            journal.damage.append(Damage(number, str(err)))
        else:
            _expect_next(journal, event, number)
            journal.events.append(event)
        journal.good_bytes += len(line)
    return journal


def _expect_next(journal: Journal, event: Event, line: int) -> None:
    if event["seq"] != journal.next_seq and not journal.damage:
        journal.damage.append(Damage(line, f"event {journal.next_seq} is missing before {event['seq']}"))
