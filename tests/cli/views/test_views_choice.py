"""Which view is chosen, and that the quiet one is quiet."""

import io
import os
import pty
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TextIO

import pytest

from offbus.cli.views import make_view
from tests.kits.cli.drill_journal import small


@pytest.fixture
def terminal() -> Iterator[TextIO]:
    """The program's end of a pseudo-terminal."""
    master, slave = pty.openpty()
    with os.fdopen(master, "rb", buffering=0), os.fdopen(slave, "w") as stream:
        yield stream


@pytest.mark.parametrize(
    ("kind", "environ", "chosen"),
    [
        pytest.param("auto", {"TERM": "xterm"}, "LiveView", id="a terminal is live"),
        pytest.param("auto", {"TERM": "dumb"}, "LinesView", id="a dumb one is not"),
        pytest.param("auto", {}, "LinesView", id="nor one that says nothing"),
        pytest.param("auto", {"TERM": "xterm", "CI": "true"}, "LinesView", id="nor one in CI"),
        pytest.param("auto", {"TERM": "xterm", "CI": "false"}, "LiveView", id="CI=false is no CI"),
        pytest.param("live", {"TERM": "xterm", "CI": "1"}, "LiveView", id="live in CI when asked for"),
        pytest.param("live", {"TERM": "dumb"}, "LinesView", id="live is impossible on a dumb terminal"),
        pytest.param("lines", {"TERM": "xterm"}, "LinesView", id="lines when asked for"),
        pytest.param("quiet", {"TERM": "xterm"}, "QuietView", id="quiet when asked for"),
    ],
)
def test_the_view_fits_the_terminal(
    terminal: TextIO, kind: str, environ: Mapping[str, str], chosen: str
) -> None:
    """Auto is live on a terminal that is not dumb and not in CI."""
    assert type(make_view(kind, "drill", [], stream=terminal, environ=environ)).__name__ == chosen


@pytest.mark.parametrize("kind", ["auto", "live"])
def test_a_pipe_gets_lines(kind: str) -> None:
    """There is nothing to redraw in a file."""
    view = make_view(kind, "drill", [], stream=io.StringIO(), environ={"TERM": "xterm"})
    assert type(view).__name__ == "LinesView"


def test_the_quiet_view_prints_the_closing_lines_alone(tmp_path: Path) -> None:
    """Nothing before them."""
    drill, report = small(tmp_path)
    stream = io.StringIO()
    with make_view("quiet", "small", [], stream=stream, environ={}) as view:
        for event in drill.events:
            view.event(event)
            view.tick()
        assert stream.getvalue() == ""
        view.finish(report, drill.folder.report)
    assert stream.getvalue().split()[:4] == ["PASSED", "small", "in", "3.0"]
