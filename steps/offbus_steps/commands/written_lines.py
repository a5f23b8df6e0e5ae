"""Which kernel lines the runs on this machine have written, as their journals tell: a mark alone can be forged.

A run's journal has every line that was read back from a node's log, with its number. Only the end of a run makes it
complete: while it lasts, a line may be in the log and not yet in the journal. So of an unfinished run it is only told
that it has a line, never that it has not. A run that is not here, or cannot be read, tells nothing.
"""

from dataclasses import dataclass, field
from pathlib import Path

from offbus.errors import OffbusError
from offbus.journal.kinds import FAULT_PROVEN
from offbus.journal.reader import read_journal
from offbus.runs import RunFolder, runs_in

__all__ = ["WrittenLines"]

MOST = 100
"""Finished runs that are remembered; more are read again."""


@dataclass(slots=True)
class WrittenLines:
    """Of the runs in one folder."""

    base: Path
    _known: dict[str, frozenset[tuple[str, int, str]]] = field(default_factory=dict)

    def has(self, run: str, fault: str, seq: int | None, text: str) -> bool | None:
        """Whether the run wrote that line, under that number where the log tells one; None where nobody knows."""
        lines, finished = self._of(run)
        if any((fault, text) == (whose, line) and seq in (None, at) for whose, at, line in lines):
            return True
        return False if finished else None

    def _of(self, run: str) -> tuple[frozenset[tuple[str, int, str]], bool]:
        if run in self._known:
            return self._known[run], True
        try:
            folder = next((one for one in runs_in(self.base) if one.id == run), None)
            if folder is None:
                return frozenset(), False
            finished = not folder.unfinished.exists()
            lines = _read(folder)
        except (OSError, OffbusError):
            return frozenset(), False
        if finished and len(self._known) < MOST:
            self._known[run] = lines
        return lines, finished


def _read(folder: RunFolder) -> frozenset[tuple[str, int, str]]:
    found = set()
    for event in read_journal(folder.journal).events:
        proof = FAULT_PROVEN.of(event)
        if proof is not None and proof["plane"] == "kernel":
            seq, line = proof["evidence"].get("seq"), proof["evidence"].get("line")
            if isinstance(seq, int) and isinstance(line, str):
                found.add((proof["fault"], seq, line))
    return frozenset(found)
