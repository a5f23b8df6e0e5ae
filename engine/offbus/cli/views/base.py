"""What a view of a run is, and what all of ours share.

A view is a listener of the journal: it shows only what is journaled, and a bug in it affects nothing else. Its
methods are called inside the event loop, return at once and never raise.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from offbus.cli.views.run_state import Board
from offbus.cli.views.screen import Screen
from offbus.journal.events import Event
from offbus.printable import clean
from offbus.report.model import Report
from offbus.report.spans import Tone, coloured, line, plain
from offbus.report.summary import closing_lines

__all__ = ["BoardView", "View"]


class View(Protocol):
    """Shows a run in progress. A context manager: leaving it restores the terminal."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...

    def event(self, event: Event) -> None:
        """Take the journal's next event."""

    def progress(self, step: str | None, text: str) -> None:
        """What a step (None: the run) is doing or waiting for."""

    def tick(self) -> None:
        """Call it about once a second."""

    def finish(self, report: Report, path: Path, *, unfinished: bool = False) -> None:
        """Print the closing lines, as `offbus.report.summary.closing_lines` has them. The last call."""


class BoardView(ABC):
    """Keeps the board, survives its own bugs, prints the closing lines."""

    def __init__(self, board: Board, screen: Screen, *, colour: bool) -> None:
        self.board = board
        self.screen = screen
        self.colour = colour
        self.held = ExitStack()
        self._flaw: Exception | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.held.close()

    def past(self, events: Iterable[Event]) -> None:
        """Apply earlier events without showing them: for a run that is taken over."""
        for event in events:
            self._guarded(partial(self.board.apply, event))

    def event(self, event: Event) -> None:
        """See View."""
        self._guarded(partial(self.take, event))

    def progress(self, step: str | None, text: str) -> None:
        """See View."""
        self._guarded(partial(self.note, step, clean(text)))

    def tick(self) -> None:
        """See View."""
        self._guarded(self.beat)

    def finish(self, report: Report, path: Path, *, unfinished: bool = False) -> None:
        """See View."""
        self.held.close()
        closing = [line(""), *closing_lines(report, path, unfinished=unfinished)]
        if self._flaw is not None:
            what = clean(f"{type(self._flaw).__name__}: {self._flaw}")
            bug = f"bug in this view ({what}); the journal and the report are not affected"
            closing.insert(0, line((bug, Tone.CAUTION)))
        self.screen.write((coloured if self.colour else plain)(closing))
        self.screen.flush()

    @abstractmethod
    def take(self, event: Event) -> None:
        """Apply the event to the board and show what it says."""

    def note(self, step: str | None, text: str) -> None:
        """Remember what a step is doing."""
        self.board.progress[step] = text

    def beat(self) -> None:  # noqa: B027  most views have nothing to do
        """A second has passed."""

    def _guarded(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as err:  # noqa: BLE001  a bug here must never stop a run or an undo; `finish` reports it
            self._flaw = self._flaw or err
