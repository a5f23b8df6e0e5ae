"""Appends events to a journal file, and leaves out what exceeds a subject's share of it.

One writer per journal: the process that holds the run's lock.

Every event is one write(2); events that a later undo depends on are fsynced before `append` returns. When a write
or fsync fails, the journal is *broken*: events that must be durable are refused with JournalError (so nothing more
is injected), the others still reach the listeners, so that what was done can be undone and reported. Listeners get
each event as it reads back from its line: the report of the runner and the fold of the file cannot differ.

Whatever is written can be read again (offbus.journal.room). Where there is no more room for what only tells, it is
left out, for listeners, too; one event says so for each subject, lane or journal that has used up its share, and its
number stands for those that follow.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from offbus.errors import JournalError
from offbus.files import Opener
from offbus.journal.codec import encode, read_back
from offbus.journal.events import VERSION, Event
from offbus.journal.kinds import OBSERVED, UNDO_RECORDED, Draft
from offbus.journal.prose import masked
from offbus.journal.room import OF_RECORDS, Part, Room, Size
from offbus.masking import Masking

__all__ = ["JournalWriter", "Listener"]

Listener = Callable[[Event], None]
"""Called with every event, in order, after it was written."""

LEFT_OUT = "more was observed, and is left out"
UNDONE = "nothing more is changed; what was done is undone"


class WriterClock(Protocol):
    """What the writer needs of a clock (offbus.runner.clock.Clock)."""

    boot_id: str

    def mono_ns(self) -> int: ...
    def utc(self) -> str: ...


class JournalWriter:
    """The open end of a journal."""

    def __init__(
        self,
        path: Path,
        run: str,
        clock: WriterClock,
        *,
        next_seq: int = 1,
        after_unended: bool = False,
        size: Size | None = None,
        opener: Opener = os.open,
    ) -> None:
        self.path = path
        self.run = run
        self.broken: str | None = None
        """Why nothing more can be written, once that is so."""
        self.masking = Masking()
        """The secrets that the run has read; no text of an event has them."""
        self._clock = clock
        self._seq = next_seq
        self._listeners: list[Listener] = []
        self._lead = b"\n" if after_unended else b""
        """Ends a last line that lacks its line end."""
        self._room = Room(size or Size())
        self._left_out: dict[Part, Event] = {}
        """What said that no more is told, by what had used up its share."""
        try:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._fd = opener(path, flags, 0o600)
        except OSError as err:
            raise JournalError(f"cannot open the journal {path}: {err.strerror}") from err

    def listen(self, listener: Listener) -> None:
        """Call `listener` with every further event."""
        self._listeners.append(listener)

    def append(self, draft: Draft, *, step: str | None = None, durable: bool = False) -> Event:
        """Write an event (offbus.journal.kinds makes it). With `durable` it is fsynced.

        Raises JournalError when what must be durable could not be, and for what an undo needs and cannot be journaled
        whole (offbus.journal.bounds).
        """
        line = encode(self._event(masked(draft, self.masking), step))
        event = read_back(line)
        if (told := OBSERVED.of(event)) is not None:
            full = self._room.take_told(line, told["lane"], told["subject"])
            if full is not None:
                return self._leave_out(full, event)
        else:
            self._take(line, event)
        return self._put(line, event, durable=durable)

    def close(self) -> None:
        """Fsync and close; a failure shows in `broken`."""
        if self._fd < 0:
            return
        fd, self._fd = self._fd, -1
        try:
            os.fsync(fd)
        except OSError as err:
            self._break(err)
        finally:
            os.close(fd)

    def truncate(self, size: int) -> None:
        """Cut what a killed writer left of a line. The file that is open is cut, wherever its path leads by now.

        Raises OSError.
        """
        os.ftruncate(self._fd, size)

    def sync(self) -> None:
        """Fsync what was written; a failure shows in `broken`."""
        try:
            os.fsync(self._fd)
        except OSError as err:
            self._break(err)

    def _break(self, err: OSError) -> None:
        self.broken = self.broken or f"the journal {self.path} cannot be written: {err.strerror}"

    def _event(self, draft: Draft, step: str | None) -> dict[str, Any]:
        event: dict[str, Any] = {
            "v": VERSION,
            "seq": self._seq,
            "run": self.run,
            "t": self._clock.utc(),
            "mono_ns": self._clock.mono_ns(),
            "clock": self._clock.boot_id,
            "kind": str(draft.kind),
        }
        if step is not None:
            event["step"] = step
        event["data"] = draft.data
        return event

    def _leave_out(self, full: Part, event: Event) -> Event:
        """What stands for an event that only tells and is not written: what said so, now."""
        if full not in self._left_out:
            lane, subject = full
            said = OBSERVED({"lane": lane or "run", "subject": subject or "journal", "to": LEFT_OUT})
            line = encode(self._event(said, None))
            more = read_back(line)
            self._take(line, more)
            self._left_out[full] = self._put(line, more, durable=False)
        return {**self._left_out[full], "t": event["t"], "mono_ns": event["mono_ns"]}

    def _take(self, line: bytes, event: Event) -> None:
        if UNDO_RECORDED.of(event) is not None and not (self._room.size + Size.of(line)).within(OF_RECORDS):
            raise JournalError(f"the journal has no room for one more undo: {self._room.size}", hint=UNDONE)
        if not self._room.take(line):
            self.broken = self.broken or f"the journal {self.path} is full: {self._room.size}"

    def _put(self, line: bytes, event: Event, *, durable: bool) -> Event:
        self._write(line, durable=durable)
        self._seq += 1
        for listener in self._listeners:
            listener(event)
        return event

    def _write(self, line: bytes, *, durable: bool) -> None:
        if self.broken is None:
            try:
                whole = self._lead + line
                written = os.write(self._fd, whole)
                while written < len(whole):
                    written += os.write(self._fd, whole[written:])
                self._lead = b""
                if durable:
                    os.fsync(self._fd)
            except OSError as err:
                self._break(err)
        if self.broken is not None and durable:
            raise JournalError(self.broken, hint=UNDONE)
