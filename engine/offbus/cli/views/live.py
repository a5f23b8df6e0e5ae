"""The live view: the whole drill on one screen of a terminal, redrawn by rich.

rich's own thread draws, at most `PER_SECOND` times a second, from the board under a lock that is only held while lines
are made, never while they are written: a terminal that does not take output (Ctrl-S) stalls no run and no undo.
The cursor stays visible, so that a process that is killed leaves a usable terminal.

The only module that knows how rich's `Live` draws (decision 0014), which has no call to start a new frame: the first of
what `process_renderables` returns moves the cursor to where the last frame began. When that changes, a frame may be
drawn wrongly after the terminal was resized, until the next one.
"""

import sys
import threading
from dataclasses import astuple
from typing import TYPE_CHECKING, Self

from rich.console import Console, ConsoleRenderable
from rich.control import Control
from rich.live import Live
from rich.text import Text

from offbus.cli.views.base import BoardView
from offbus.cli.views.layout import lay_out
from offbus.cli.views.run_state import Board
from offbus.cli.views.screen import Screen
from offbus.cli.views.sections import header, sections
from offbus.cli.views.theme import ASCII, UNICODE
from offbus.journal.events import Event
from offbus.printable import printable
from offbus.report.spans import Line, Tone

if TYPE_CHECKING:
    from typing import TextIO

__all__ = ["PER_SECOND", "LiveView"]

PER_SECOND = 8
STYLES = {
    Tone.PLAIN: "",
    Tone.STRONG: "bold",
    Tone.GOOD: "green",
    Tone.BAD: "bold red",
    Tone.CAUTION: "yellow",
    Tone.DIM: "dim",
}


class LiveView(BoardView):
    """Redraws while the run is running; leaves its last state and the closing lines on the screen."""

    def __init__(self, board: Board, screen: Screen, *, colour: bool) -> None:
        super().__init__(board, screen, colour=colour)
        self._lock = threading.Lock()
        self._glyphs = UNICODE if screen.shows("".join(astuple(UNICODE))) else ASCII
        self._console = _console(screen, colour=colour)
        self._live = _Live(
            console=self._console,
            get_renderable=self._frame,
            refresh_per_second=PER_SECOND,
            redirect_stdout=sys.stdout.isatty(),
            redirect_stderr=sys.stderr.isatty(),
        )

    def __enter__(self) -> Self:
        self.held.enter_context(self._live)
        self._console.show_cursor(True)
        return self

    def take(self, event: Event) -> None:
        """Take the event in; rich's thread shows it."""
        with self._lock:
            self.board.apply(event)

    def note(self, step: str | None, text: str) -> None:
        """Remember what a step is doing."""
        with self._lock:
            self.board.progress[step] = text

    def _frame(self) -> Text:
        """What is to be seen now. One line is left free for the cursor."""
        width, height = self._console.size
        with self._lock:
            lines = lay_out(
                header(self.board),
                sections(self.board, self._glyphs),
                width,
                max(1, height - 1),
                self._glyphs,
            )
        return Text("\n", no_wrap=True, overflow="crop", end="").join(map(_text, lines))


class _Live(Live):
    """Begins at the top of the screen again after the terminal's size has changed: lines that the terminal wrapped
    itself cannot be found by moving the cursor up."""

    _size_before: tuple[int, ...] | None = None

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        """See rich.live.Live."""
        found = super().process_renderables(renderables)
        size = tuple(self.console.size)
        if self._size_before not in (None, size) and self.console.is_interactive:
            found[0] = Control.clear()
            found.insert(1, Control.home())
        self._size_before = size
        return found


def _console(screen: Screen, *, colour: bool) -> Console:
    stream: TextIO = screen  # type: ignore[assignment]  # all of a text file that rich uses
    return Console(
        file=stream,
        force_terminal=True,
        no_color=not colour,
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
    )


def _text(one: Line) -> Text:
    text = Text(no_wrap=True, overflow="crop", end="")
    for span in one:
        text.append(printable(span.text), STYLES[span.tone])
    return text
