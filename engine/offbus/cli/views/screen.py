"""Where views write, and whether in colour: a stream that may be closed, stalled, or unable to show a character.

- closed (the reader of a pipe left, the terminal is gone): from then on everything is dropped, silently, because a
  run must get to its undo even if nobody watches. `lost` says so.
- stalled (Ctrl-S, a pager that is not scrolled): `Printer` writes from a thread of its own, so that neither leases
  nor undos wait for a reader.
- a character that the encoding lacks becomes "?".
"""

import threading
from collections.abc import Callable, Iterable
from queue import SimpleQueue
from types import TracebackType
from typing import Protocol, Self

from offbus.colour import is_terminal
from offbus.report.spans import Line, coloured, plain

__all__ = ["Printer", "Screen", "Stream"]


class Stream(Protocol):
    """What a screen needs of a text stream."""

    def write(self, text: str, /) -> int: ...
    def flush(self) -> None: ...
    def isatty(self) -> bool: ...
    def fileno(self) -> int: ...


class Screen:
    """A text stream that never raises. Enough of a file for rich."""

    def __init__(self, stream: Stream) -> None:
        self.lost = False
        self.encoding: str = getattr(stream, "encoding", None) or "utf-8"
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, or drop once the stream is lost."""
        shown = text.encode(self.encoding, "replace").decode(self.encoding)
        self._guarded(lambda: self._stream.write(shown))
        return len(text)

    def flush(self) -> None:
        """Flush, or do nothing once the stream is lost."""
        self._guarded(self._stream.flush)

    def isatty(self) -> bool:
        """Whether a terminal is behind it."""
        return not self.lost and is_terminal(self._stream)

    def fileno(self) -> int:
        """Of the stream; raises OSError when it has none."""
        return self._stream.fileno()

    def shows(self, text: str) -> bool:
        """Whether the encoding has all of these characters."""
        try:
            text.encode(self.encoding)
        except UnicodeEncodeError:
            return False
        return True

    def _guarded(self, act: Callable[[], object]) -> None:
        if self.lost:
            return
        try:
            act()
        except (OSError, ValueError):  # ValueError: the file object itself is closed
            self.lost = True


class Printer:
    """Prints lines in order from a thread of its own. `close` waits until all are out."""

    def __init__(self, screen: Screen, *, colour: bool) -> None:
        self._screen = screen
        self._format = coloured if colour else plain
        self._queue: SimpleQueue[str | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="offbus-view", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def print(self, lines: Iterable[Line]) -> None:
        """Hand lines over; returns at once."""
        self._queue.put(self._format(lines))

    def close(self) -> None:
        """Wait until everything is printed; harmless when repeated."""
        self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (text := self._queue.get()) is not None:
            self._screen.write(text)
            self._screen.flush()
