"""The live screen's layout: it fits any terminal and keeps what matters in sight."""

from collections.abc import Callable
from pathlib import Path

import pytest
from rich.cells import cell_len

from offbus.cli.views.layout import fit, lay_out
from offbus.cli.views.run_state import Board
from offbus.cli.views.sections import header, sections
from offbus.cli.views.theme import ASCII, UNICODE, Glyphs
from offbus.journal.events import EventKind
from offbus.report.model import Report
from offbus.report.spans import line, plain
from tests.kits.cli.drill_journal import failing, killed, passing
from tests.kits.cli.drill_writer import Drill

SIZES = [(1, 1), (2, 3), (20, 5), (40, 12), (80, 23), (100, 40), (250, 100)]


def frame(board: Board, width: int = 80, height: int = 23, glyphs: Glyphs = UNICODE) -> str:
    """What stands on the screen."""
    return plain(lay_out(header(board), sections(board, glyphs), width, height, glyphs))


def board_of(drill: Drill, until: Callable[[str], bool] = lambda _kind: False) -> Board:
    """The board after a drill's events, or after the first whose kind is wanted."""
    steps = [(one.id, one.uses) for one in drill.fold.report().steps]
    board = Board("xid79-nvsentinel", steps, drill.clock.mono_ns)
    for event in drill.events:
        board.apply(event)
        if until(event["kind"]):
            break
    return board


@pytest.mark.parametrize(("width", "height"), SIZES, ids=str)
@pytest.mark.parametrize("glyphs", [UNICODE, ASCII], ids=["unicode", "ascii"])
@pytest.mark.parametrize("play", [passing, failing, killed], ids=["passing", "failing", "killed"])
def test_after_every_event_the_screen_fits(
    tmp_path: Path, play: Callable[[Path], tuple[Drill, Report]], glyphs: Glyphs, width: int, height: int
) -> None:
    """No line is wider and no frame is higher than the terminal."""
    drill, _ = play(tmp_path)
    board = Board("xid79-nvsentinel", [("deploy", "deploy")], drill.clock.mono_ns)
    for event in drill.events:
        board.apply(event)
        lines = frame(board, width, height, glyphs).splitlines()
        assert len(lines) <= height
        assert max(map(cell_len, lines)) <= width


def test_before_the_first_event_the_plan_is_shown() -> None:
    """A run that opens its environment for a minute is no empty screen."""
    text = frame(Board("drill", [("deploy", "deploy"), ("inject", "inject_fault")], lambda: 0))
    assert text.splitlines()[0] == "drill  0:00  starting"
    assert "○ inject" in text


def test_on_24_lines_the_running_step_is_in_sight(tmp_path: Path) -> None:
    """Steps that ended give way; they are counted."""
    drill, _ = passing(tmp_path)
    board = board_of(drill)
    assert "✓ works" in frame(board)
    assert " above" in frame(board)
    assert "✓ deploy" not in frame(board)
    assert "✓ deploy" in frame(board, height=60)


def test_a_running_step_says_what_it_waits_for(tmp_path: Path) -> None:
    """With the time that it has waited."""
    drill = Drill(tmp_path)
    drill.begin()
    drill.at(3).write(EventKind.STEP_STARTED, "cordon", attempt=2)
    board = board_of(drill)
    board.progress["cordon"] = "node-1 to be cordoned"
    drill.at(75)
    assert "● cordon    running      1:12  attempt 2, node-1 to be cordoned" in frame(board)


def test_each_plane_says_whether_it_is_proven(tmp_path: Path) -> None:
    """With the evidence in short, or what is missing."""
    drill, _ = killed(tmp_path)
    text = frame(board_of(drill), width=120, height=40)
    assert "✓ kernel proven   seq 412, kernel: NVRM: Xid" in text
    assert "✓ cuda   proven   cuLaunchKernel, CUDA_ERROR_UNKNOWN (999), pid 71" in text
    assert "● nvml   waiting  no faulted NVML call by a process of the target was seen" in text


def test_nodes_and_pods_show_their_newest_state(tmp_path: Path) -> None:
    """A statement takes the place of the one before it; what is gone or untouched is one line."""
    drill, _ = passing(tmp_path)
    board = board_of(drill, lambda kind: kind == EventKind.UNDO_STARTED)
    text = frame(board, height=60)
    assert "● node-1  state draining, cordoned, SysLogsXIDError True" in text
    assert "– node-2, node-3 unchanged" in text
    assert "✓ vllm-p81z   node-3  ready" in text
    assert "– vllm-7d9f, vllm-x2k4, vllm-7d9fb deleted" in text
    assert "✓ node-1  uncordoned" in frame(board_of(drill), height=60)


def test_an_undo_that_fails_is_named(tmp_path: Path) -> None:
    """Beside the count of those that are done; residue has its own part."""
    drill, _ = failing(tmp_path)
    text = frame(board_of(drill), width=140, height=60)
    assert "2 of 3 undone" in text
    assert (
        "✗ conflict: restore LD_PRELOAD of Deployment/drill/vllm: spec.template was changed by helm" in text
    )
    assert "residue ✗ restore LD_PRELOAD" in text


def test_the_header_says_why_a_run_stops(tmp_path: Path) -> None:
    """The phase alone would not."""
    drill = Drill(tmp_path)
    drill.begin()
    drill.write(EventKind.STOPPED, cause="signal", reason="interrupted by SIGINT")
    drill.at(5).write(EventKind.PHASE, name="undo")
    assert frame(board_of(drill)).splitlines()[0].endswith("0:05  stopping, undoing: interrupted by SIGINT")


def test_ascii_needs_nothing_but_ascii(tmp_path: Path) -> None:
    """For terminals whose encoding is not UTF-8."""
    drill, _ = failing(tmp_path)
    assert frame(board_of(drill), glyphs=ASCII).isascii()


@pytest.mark.parametrize(
    ("text", "width", "cut"),
    [
        pytest.param("abc", 3, "abc", id="what fits stays"),
        pytest.param("abcd", 3, "ab…", id="what does not ends with a mark"),
        pytest.param("日本語", 5, "日本…", id="wide characters take two columns"),
        pytest.param("日本語", 4, "日 …", id="and are never cut in half"),
        pytest.param("abc", 1, "…", id="one column"),
        pytest.param("abc", 0, "", id="none"),
    ],
)
def test_lines_are_cut_by_columns(text: str, width: int, cut: str) -> None:
    """Columns of the terminal, not characters."""
    assert "".join(span.text for span in fit(line(text), width, UNICODE)) == cut
