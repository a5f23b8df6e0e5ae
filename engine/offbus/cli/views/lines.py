"""The plain view: one line for each event that matters, and a heartbeat for steps that wait. For CI logs and pipes."""

from typing import Self

from offbus.cli.views.base import BoardView
from offbus.cli.views.event_lines import sentence
from offbus.cli.views.run_state import Board
from offbus.cli.views.screen import Printer, Screen
from offbus.journal.events import Event, EventKind
from offbus.report.formatting import seconds
from offbus.report.spans import Line, Span, Tone, line

__all__ = ["HEARTBEAT_S", "LinesView"]

HEARTBEAT_S = 10.0
"""A waiting step prints a line at most this often."""
NARROWEST, WIDEST = 8, 20
"""Width of the column that names the step or lane."""


class LinesView(BoardView):
    """`  12.345s  restore   passed in 1.2 s`."""

    def __init__(self, board: Board, screen: Screen, *, colour: bool) -> None:
        super().__init__(board, screen, colour=colour)
        longest = max((len(step) for step, _ in board.plan), default=0)
        self._width = min(WIDEST, max(NARROWEST, longest))
        self._spoke: dict[str | None, float] = {}
        self._printer = Printer(screen, colour=colour)

    def __enter__(self) -> Self:
        self.held.enter_context(self._printer)
        return self

    def take(self, event: Event) -> None:
        """Print the event's line."""
        self.board.apply(event)
        if event["kind"] in (EventKind.STEP_STARTED, EventKind.STEP_ENDED):
            self._spoke[event["step"]] = self.board.elapsed()
        found = sentence(event, self.board)
        if found is not None:
            self._print(self.board.at(event), *found)

    def beat(self) -> None:
        """Print what steps wait for that have been silent for a while."""
        now = self.board.elapsed()
        for step, text in self._waiting():
            if now - self._spoke.setdefault(step, now) >= HEARTBEAT_S:
                self._spoke[step] = now
                took = f" for {seconds(self.board.running_for(step))}" if step else ""
                waiting = line((f"still running{took}", Tone.DIM), f": {text}" if text else "")
                self._print(now, step or "run", [waiting])

    def _waiting(self) -> list[tuple[str | None, str]]:
        if self.board.fold.ended is not None:
            return []
        running = [one.id for one in self.board.fold.steps.values() if self.board.waits(one)]
        waiting: list[tuple[str | None, str]] = [
            (step, self.board.progress.get(step, "")) for step in running
        ]
        own = self.board.progress.get(None)
        return [*waiting, (None, own)] if own else waiting

    def _print(self, at: float, whose: str, lines: list[Line]) -> None:
        head = [Span(f"{at:8.3f}s  ", Tone.DIM), Span(f"{whose:<{self._width}}  ")]
        indent = [Span(" " * (11 + self._width + 2))]
        self._printer.print([[*(indent if number else head), *one] for number, one in enumerate(lines)])
