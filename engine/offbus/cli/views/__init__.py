"""Views of a run: live on a terminal, plain lines elsewhere. `make_view` chooses."""

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence

from offbus.cli.views.base import BoardView, View
from offbus.cli.views.run_state import Board
from offbus.cli.views.screen import Screen, Stream
from offbus.colour import wants_colour
from offbus.journal.events import Event
from offbus.runner.clock import SystemClock

__all__ = ["View", "make_view"]


def make_view(
    kind: str,
    name: str,
    plan: Sequence[tuple[str, str]],
    *,
    stream: Stream | None = None,
    past: Iterable[Event] = (),
    now_ns: Callable[[], int] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> View:
    """The view of a run.

    `kind` is auto, live, lines or quiet; auto is live on a terminal that is not dumb and not in CI, and what cannot
    be live is lines. `plan` is (step id, step type) in plan order. `past` are the events of a run that is taken over.
    `now_ns` is the clock of the events' `mono_ns`.
    """
    screen = Screen(stream if stream is not None else sys.stdout)
    board = Board(name, list(plan), now_ns or SystemClock().mono_ns)
    view = _chosen(kind, board, screen, environ)
    view.past(past)
    return view


def _chosen(kind: str, board: Board, screen: Screen, environ: Mapping[str, str]) -> BoardView:
    colour = wants_colour(screen, environ)
    if kind == "quiet":
        from offbus.cli.views.quiet import QuietView

        return QuietView(board, screen, colour=colour)
    possible = screen.isatty() and environ.get("TERM", "dumb") != "dumb"
    if possible and (kind == "live" or (kind == "auto" and environ.get("CI", "false") in ("", "0", "false"))):
        from offbus.cli.views.live import LiveView

        return LiveView(board, screen, colour=colour)
    from offbus.cli.views.lines import LinesView

    return LinesView(board, screen, colour=colour)
