"""How large a journal may become: one count for who writes it and who reads it, so that what is written can be read.

A reader refuses what is larger, before it parses it (offbus.journal.reader). A writer asks first: what only tells
(`observed`) comes to its end long before the bound, by subject, by lane and in all, as outsiders may cause any number
of such events; then records of undos, whose effects are refused (JournalError), so that there is room for what the undo
of all effects so far has to say. An event for which there is no room at all breaks the journal, as a full disk does.
Pure.
"""

from dataclasses import dataclass, field

from offbus.journal.bounds import MOST_VALUES
from offbus.json_values import count_values, most_values

__all__ = ["LARGEST", "OF_RECORDS", "Part", "Room", "Size"]

LARGEST = 1 << 29
"""Bytes: three times the journal of 100,000 steps."""
SOME_VALUES, MOST_IN_ALL, BYTES_A_VALUE = 1 << 20, 1 << 24, 10
"""A journal may have the first number of values for nothing, then one for so many bytes, up to the second number.

Each takes some 100 bytes of memory. What runs write has 20 bytes a value (that of 100,000 steps 8 million values), what
was made to exhaust its reader has two or three.
"""
EVENT = b'{"v":'
"""What an event begins with; in no string, as a quotation mark is escaped there."""
OF_SUBJECT, OF_LANE, OF_TOLD, OF_RECORDS = 1 / 128, 1 / 32, 1 / 2, 3 / 4
"""Shares of the bounds: what is observed of one subject (4 MiB) and in one lane (16 MiB, some 40,000 events, which take
a fold some 60 MB) since the journal was opened; the whole journal when nothing more is observed, and when no more undo
is recorded."""

Part = tuple[str, str]
"""Of what is observed: a lane and a subject; one without a subject is the lane, without both the journal."""


@dataclass(slots=True)
class Size:
    """Of a journal, or of some of its lines."""

    length: int = 0
    """In bytes."""
    values: int = 0
    """Those of lines that are parsed: at most as many as marks, and exact where a line has many of them."""

    def __str__(self) -> str:
        return f"{self.length >> 20} MiB, {self.values} values"

    @classmethod
    def of(cls, line: bytes) -> "Size":
        """Of one line. One with more than MOST_VALUES is damaged, and not parsed; of several events each is read on its
        own, so marks in what seem to be strings count, too."""
        values = most_values(line)
        if values * BYTES_A_VALUE > len(line) and line.rfind(EVENT) <= 0:
            values = count_values(line, MOST_VALUES)
        return cls(len(line), values if values <= MOST_VALUES else 0)

    def __add__(self, other: "Size") -> "Size":
        return Size(self.length + other.length, self.values + other.values)

    def within(self, share: float = 1.0) -> bool:
        """Whether a journal of this size can be read, or has used up no more than a share of what it may."""
        most = min(MOST_IN_ALL * share, SOME_VALUES * share + self.length // BYTES_A_VALUE)
        return self.length <= LARGEST * share and self.values <= most

    def within_part(self, share: float) -> bool:
        """Whether some of a journal's lines are no more than a share of the whole."""
        return self.length <= LARGEST * share and self.values <= MOST_IN_ALL * share


@dataclass(slots=True)
class Room:
    """What was written of a journal, and whether there is room for more."""

    size: Size = field(default_factory=Size)
    _told: dict[Part, Size] = field(default_factory=dict)

    def take(self, line: bytes) -> bool:
        """Count a line in; False where there is no room for it, and it must not be written."""
        size = self.size + Size.of(line)
        if fits := size.within():
            self.size = size
        return fits

    def take_told(self, line: bytes, lane: str, subject: str) -> Part | None:
        """The same for what only tells; returns the widest part of the journal that has no room for it."""
        more = Size.of(line)
        whole = self.size + more
        of_lane, of_subject = (self._told.get((lane, part), Size()) + more for part in ("", subject))
        if not whole.within(OF_TOLD):
            return "", ""
        if not of_lane.within_part(OF_LANE):
            return lane, ""
        if not of_subject.within_part(OF_SUBJECT):
            return lane, subject
        self.size, self._told[lane, ""], self._told[lane, subject] = whole, of_lane, of_subject
        return None
