"""Reads journals back: tolerates a torn last line, reports a damaged middle.

A journal of a newer format is not read at all: what its events mean is not known, so nothing may be undone, and nothing
appended. A torn tail is what `kill -9` in the middle of a write leaves: it has no line end, and a takeover cuts it
off. Any other line that is no event means that the file was changed: the events before and after
it are still returned, and `damage` says where, so that what is known can still be undone.
"""

from dataclasses import dataclass, field
from pathlib import Path

from offbus.errors import JournalError
from offbus.files import read_bounded
from offbus.journal.codec import DamagedLine, NewerFormat, decode, salvage
from offbus.journal.events import Event

__all__ = ["Damage", "Journal", "read_journal"]

LARGEST = 1 << 30
"""Bytes: seven times the journal of 100,000 steps."""


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
    unended: bool = False
    """The last event is whole, but its line end is missing: it must be written before the next event."""
    lost_at_end: int = 0
    """Damaged lines after the last event."""

    @property
    def next_seq(self) -> int:
        """The number of the next event; damaged lines at the end keep theirs, so that a fold sees the gap."""
        return (self.events[-1]["seq"] if self.events else 0) + self.lost_at_end + 1

    @property
    def run(self) -> str | None:
        """The run's id, from its events: the folder may have been renamed."""
        return self.events[0]["run"] if self.events else None


def read_journal(path: Path) -> Journal:
    """Read a journal. Raises JournalError when it cannot be read at all, NewerFormat when it is of a newer offbus."""
    try:
        raw = read_bounded(path, LARGEST)
    except OSError as err:
        raise JournalError(f"cannot read the journal {path}: {err.strerror}") from err
    if len(raw) > LARGEST:
        raise JournalError(f"cannot read the journal {path}: it is larger than {LARGEST >> 30} GiB")
    try:
        return _read(path, raw)
    except NewerFormat as err:
        raise NewerFormat(f"cannot read the journal {path}: {err.message}", hint=err.hint) from err


def _read(path: Path, raw: bytes) -> Journal:
    journal = Journal(path)
    lines = raw.split(b"\n")
    tail = lines.pop()
    for number, line in enumerate(lines, start=1):
        _take(journal, line + b"\n", number)
        journal.good_bytes += len(line) + 1
    if tail and _take_salvaged(journal, tail):  # an event without its line end
        end = tail.rfind(b'"}') + 2
        journal.good_bytes += end
        journal.unended = True
        journal.torn_bytes = len(tail) - end
    else:  # a piece of one, or nothing
        journal.torn_bytes = len(tail)
    return journal


def _take(journal: Journal, line: bytes, number: int) -> None:
    try:
        event = decode(line)
    except DamagedLine as err:
        journal.damage.append(Damage(number, err.message))
        journal.lost_at_end = 0 if _take_salvaged(journal, line) else journal.lost_at_end + 1
        return
    if not _follows(journal, event):
        journal.damage.append(Damage(number, f"event {event['seq']} is out of order"))
        return
    if event["seq"] != journal.next_seq and not journal.damage:
        missing = f"event {journal.next_seq} is missing before {event['seq']}"
        journal.damage.append(Damage(number, missing))
    journal.events.append(event)
    journal.lost_at_end = 0


def _take_salvaged(journal: Journal, line: bytes) -> bool:
    """Take the events inside a damaged line, each after those before it. Returns whether there was one."""
    before = len(journal.events)
    for event in salvage(line):
        if _follows(journal, event):
            journal.events.append(event)
    return len(journal.events) > before


def _follows(journal: Journal, event: Event) -> bool:
    """Whether the event is of this run and comes after all others: a line that was copied in does not count."""
    if not journal.events:
        return True
    last = journal.events[-1]
    return event["run"] == last["run"] and event["seq"] > last["seq"]
