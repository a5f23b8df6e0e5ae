"""Reads journals back: tolerates a torn last line, reports a damaged middle.

A journal of a newer format is not read at all: what its events mean is not known, so nothing may be undone, and nothing
appended. A torn tail is what `kill -9` in the middle of a write leaves: it has no line end, and a takeover cuts it
off. Any other line that is no event means that the file was changed: the events before and after
it are still returned, and `damage` says where, so that what is known can still be undone.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

from offbus.errors import JournalError
from offbus.files import Opener, read_bounded
from offbus.journal.codec import DamagedLine, NewerFormat, decode, salvage
from offbus.journal.events import Event
from offbus.journal.room import LARGEST, Size

__all__ = ["MOST_TOLD", "Damage", "Journal", "read_journal", "told_damage"]

MOST_TOLD = 100
"""Damaged lines that are told one by one: each byte of a file may be one."""


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
    """The first `MOST_TOLD` damaged lines."""
    more_damage: int = 0
    """How many more there are."""
    torn_bytes: int = 0
    """Length of an incomplete last line."""
    good_bytes: int = 0
    """Length of the file without that line."""
    unended: bool = False
    """The last event is whole, but its line end is missing: it must be written before the next event."""
    lost_at_end: int = 0
    """Damaged lines after the last event."""
    size: Size = field(default_factory=Size)
    """Without an incomplete last line."""

    @property
    def next_seq(self) -> int:
        """The number of the next event; damaged lines at the end keep theirs, so that a fold sees the gap."""
        return (self.events[-1]["seq"] if self.events else 0) + self.lost_at_end + 1

    @property
    def run(self) -> str | None:
        """The run's id, from its events: the folder may have been renamed."""
        return self.events[0]["run"] if self.events else None


def read_journal(path: Path, opener: Opener = os.open) -> Journal:
    """Read a journal. Raises JournalError when it cannot be read at all, NewerFormat when it is of a newer offbus."""
    try:
        raw = read_bounded(path, LARGEST, whole=True, opener=opener)
    except OSError as err:
        raise JournalError(f"cannot read the journal {path}: {err.strerror}") from err
    if len(raw) > LARGEST:
        raise JournalError(f"cannot read the journal {path}: it is larger than {LARGEST >> 20} MiB")
    size = _size(raw)
    if not size.within():
        message = f"it has {size.values} values in {size.length} bytes, and is not a journal that a run wrote"
        raise JournalError(f"cannot read the journal {path}: {message}")
    try:
        journal = _read(path, raw)
    except NewerFormat as err:
        raise NewerFormat(f"cannot read the journal {path}: {err.message}", hint=err.hint) from err
    journal.size = _size(raw[: journal.good_bytes]) if journal.torn_bytes else size
    return journal


def told_damage(journal: Journal) -> Iterator[str]:
    """Where a journal is damaged, and why, in words; not more lines than a person reads."""
    for one in journal.damage:
        yield f"{journal.path}:{one.line}: {one.why}; the line is skipped"
    if journal.more_damage:
        yield f"{journal.path}: and {journal.more_damage} more damaged lines, which are skipped"


def _size(raw: bytes) -> Size:
    return sum(map(Size.of, BytesIO(raw)), Size())


def _read(path: Path, raw: bytes) -> Journal:
    journal = Journal(path)
    for number, line in enumerate(BytesIO(raw), start=1):
        if line.endswith(b"\n"):
            _take(journal, line, number)
            journal.good_bytes += len(line)
        elif _take_salvaged(journal, line):  # an event without its line end
            end = line.rfind(b'"}') + 2
            journal.good_bytes += end
            journal.unended = True
            journal.torn_bytes = len(line) - end
        else:  # a piece of one
            journal.torn_bytes = len(line)
    return journal


def _note(journal: Journal, line: int, why: str) -> None:
    if len(journal.damage) < MOST_TOLD:
        journal.damage.append(Damage(line, why))
    else:
        journal.more_damage += 1


def _take(journal: Journal, line: bytes, number: int) -> None:
    try:
        event = decode(line)
    except DamagedLine as err:
        _note(journal, number, err.message)
        journal.lost_at_end = 0 if _take_salvaged(journal, line) else journal.lost_at_end + 1
        return
    if not _follows(journal, event):
        _note(journal, number, f"event {event['seq']} is out of order")
        return
    if event["seq"] != journal.next_seq and not journal.damage:
        _note(journal, number, f"event {journal.next_seq} is missing before {event['seq']}")
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
