"""What a damaged journal lacks: gaps in the numbers of its events, and undos whose record is gone. Pure."""

from collections.abc import Iterator
from itertools import islice

from offbus.journal.events import Event
from offbus.journal.kinds import UNDO_ENDED, UNDO_RECORDED, UNDO_STARTED

__all__ = ["MOST_LOST", "RESOLVED", "Gaps"]

MOST_LOST = 100_000
"""Undos that are listed one by one: more than any run records."""

RESOLVED = ("restored", "nothing")
"""Results after which an undo needs no further try."""


class Gaps:
    """Looks at every event; says which are missing between them."""

    def __init__(self) -> None:
        self.missing: list[tuple[int, int]] = []
        """First and last number of each run of missing events."""
        self._next = 1
        self._recorded: set[int] = set()
        self._last: dict[int, str] = {}

    def look(self, event: Event) -> None:
        """Take the next event in."""
        seq = event["seq"]
        if seq > self._next:
            self.missing.append((self._next, seq - 1))
        self._next = seq + 1
        if (recorded := UNDO_RECORDED.of(event)) is not None:
            self._recorded.add(recorded["undo"])
        elif (started := UNDO_STARTED.of(event)) is not None:
            self._last.setdefault(started["undo"], "interrupted")
        elif (ended := UNDO_ENDED.of(event)) is not None:
            self._last[ended["undo"]] = ended["result"]

    @property
    def events(self) -> int:
        """How many events are missing."""
        return sum(last - first + 1 for first, last in self.missing)

    def descriptions(self) -> Iterator[str]:
        """Each gap, as text."""
        for first, last in self.missing:
            which = f"event {first} is" if first == last else f"events {first} to {last} are"
            yield f"the journal is damaged: {which} missing"

    def lost_undos(self) -> list[int]:
        """Numbers of undos whose record is missing and which are not known to be resolved.

        Undos are numbered from 1 without a gap, so all but those after the last known one show. Each record is an
        event, so no more can be missing than events are; whatever numbers a journal names.
        """
        if not self.missing:
            return []
        highest = max([*self._recorded, *self._last], default=0)
        unknown = (number for number in range(1, highest + 1) if number not in self._recorded)
        missing = islice(unknown, min(self.events, MOST_LOST))
        return [number for number in missing if self._last.get(number) not in RESOLVED]
