"""The plain view: what it prints, and that nothing about its stream can stop a run."""

import io
import os
import re
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

import pytest

from offbus.cli.views import View, make_view
from offbus.journal.events import EventKind
from offbus.report.model import Report
from tests.kits.cli.drill_journal import failing, passing, small
from tests.kits.cli.drill_writer import Drill

GOLDEN = """\
   0.000s  run       small: run 3f9a2c41 on local, 2 steps
   0.100s  run       opening the environment
   0.500s  inject    started: inject_fault
   0.600s  fault     node-1 GPU-1: to be proven on kernel
   0.750s  fault     node-1 GPU-1 proven on kernel: seq 412, kernel: NVRM: Xid (PCI:0000:3b:00): 79, pid=4711, \
name=python3, GPU has fallen off the bus. offbus=3f9a2c41
   0.800s  inject    passed in 300 ms
   0.900s  cordon    started: await_cordon
   2.000s  node      Node/node-1 cordoned (was schedulable)
   2.000s  metric    time_to_cordon 1.25 s
   2.100s  cordon    passed in 1.2 s
   2.200s  undo      1 change to undo
   2.400s  undo      undone: disarm fault f-1 on node-1 (read back: disarmed)
   2.500s  run       expected metrics.time_to_cordon < duration("60s"): true

PASSED  small  in 3.0 s
  time to  cordon 1.2 s
  faults   1 of 1 proven
residue: none
report: RUNS/report.json
"""


def view_of(drill: Drill, report: Report, stream: TextIO, environ: Mapping[str, str] | None = None) -> View:
    """The plain view for a drill, on the drill's clock."""
    plan = [(one.id, one.uses) for one in report.steps]
    return make_view(
        "lines", report.name, plan, stream=stream, now_ns=drill.clock.mono_ns, environ=environ or {}
    )


def play(drill: Drill, report: Report, stream: TextIO, environ: Mapping[str, str] | None = None) -> None:
    """All events, then the end."""
    with view_of(drill, report, stream, environ) as view:
        for event in drill.events:
            view.event(event)
        view.finish(report, drill.folder.report)


def shown(drill: Drill, report: Report, environ: Mapping[str, str] | None = None) -> str:
    """What is printed for a whole drill."""
    stream = io.StringIO()
    play(drill, report, stream, environ)
    return stream.getvalue()


def test_a_small_drill_reads_as_a_log(tmp_path: Path) -> None:
    """One line for each event that matters, in order, then the closing lines."""
    drill, report = small(tmp_path)
    assert shown(drill, report).replace(str(drill.folder.path), "RUNS") == GOLDEN


def test_a_failed_drill_says_why_and_how_to_fix_it(tmp_path: Path) -> None:
    """Outcome, hint, conflict, residue with its fix command; the last line is the report's place."""
    drill, report = failing(tmp_path)
    text = shown(drill, report)
    assert "cordon    TIMED OUT in 3m 00s: was not seen within 180 s" in text
    assert "is the responder running?" in text
    assert "CONFLICT, left alone: restore LD_PRELOAD of Deployment/drill/vllm (spec.template was" in text
    closing = text[text.index("\nFAILED  xid79-nvsentinel  in 3m 14s\n") :].splitlines()
    assert "  - step cordon timed out: was not seen within 180 s" in closing
    assert "    fix: offbus recover 3f9a2c41" in closing
    assert closing[-1] == f"report: {drill.folder.report}"


@pytest.mark.timer("engine/offbus/cli/views/lines.py")
def test_a_waiting_step_has_a_heartbeat_every_ten_seconds(tmp_path: Path) -> None:
    """However often the clock ticks, a step that waits speaks at most every 10 s, and says what it waits for."""
    drill = Drill(tmp_path)
    drill.begin()
    drill.at(1).write(EventKind.STEP_STARTED, "cordon", attempt=1)
    stream = io.StringIO()
    with view_of(drill, drill.fold.report(), stream) as view:
        for event in drill.events:
            view.event(event)
        view.progress("cordon", "node-1 to be\x1b[2J cordoned")
        for second in range(2, 33):
            drill.at(second)
            view.tick()
    beats = [line for line in stream.getvalue().splitlines() if "still running" in line]
    assert [line.split()[0] for line in beats] == ["11.000s", "21.000s", "31.000s"]
    assert beats[0].endswith("still running for 10.0 s: node-1 to be\\x1b[2J cordoned")


def test_a_background_step_that_is_ready_has_no_heartbeat(tmp_path: Path) -> None:
    """It does not wait for anything."""
    drill = Drill(tmp_path)
    drill.begin()
    drill.write(EventKind.STEP_STARTED, "load", attempt=1)
    drill.write(EventKind.STEP_READY, "load")
    stream = io.StringIO()
    with view_of(drill, drill.fold.report(), stream) as view:
        for event in drill.events:
            view.event(event)
        drill.at(60)
        view.tick()
    assert "still running" not in stream.getvalue()


@pytest.mark.parametrize(
    ("environ", "coloured"),
    [
        pytest.param({}, False, id="a pipe has no colours"),
        pytest.param({"FORCE_COLOR": "1"}, True, id="unless they are ordered"),
        pytest.param({"FORCE_COLOR": "0"}, False, id="or forbidden by the same name"),
        pytest.param({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False, id="NO_COLOR wins"),
    ],
)
def test_colours_follow_the_environment(tmp_path: Path, environ: Mapping[str, str], coloured: bool) -> None:
    """And never change a word."""
    drill, report = small(tmp_path)
    text = shown(drill, report, environ)
    assert ("\x1b[" in text) == coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", text).replace(str(drill.folder.path), "RUNS") == GOLDEN


def test_text_from_outside_cannot_command_the_terminal(tmp_path: Path) -> None:
    """Escape sequences and line ends in evidence and messages are spelt out."""
    drill = Drill(tmp_path)
    drill.begin()
    drill.at(1).recorder().observed(
        lane="pod", subject="Pod/a\x1b]0;title\x07", to="ready\nPASSED  forged", was="\x9b2J"
    )
    drill.step("deploy", 1.0, 2.0, "failed", message="\x1b[31mred\r\nPASSED\u202e", hint="\x00")
    text = shown(drill, drill.finish())
    assert not set(text) & set("\x1b\x07\x9b\r\u202e\x00")
    assert not any(line.startswith("PASSED") for line in text.splitlines())
    assert "\\x1b[31mred PASSED\\x202e" in text


def test_a_terminal_without_unicode_gets_question_marks(tmp_path: Path) -> None:
    """A character that the encoding lacks is replaced; nothing is lost after it."""
    drill = Drill(tmp_path)
    drill.begin()
    drill.step("deploy", 1.0, 2.0, "failed", message="Größe … überschritten")
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", write_through=True)
    play(drill, drill.finish(), stream)
    text = raw.getvalue().decode("ascii")
    assert "FAILED in 1.0 s: Gr??e ? ?berschritten" in text
    assert text.splitlines()[-1].startswith("report: ")


def test_a_reader_that_leaves_stops_nothing(tmp_path: Path) -> None:
    """Writing into a closed pipe is dropped, silently."""
    drill, report = passing(tmp_path)
    reading, writing = os.pipe()
    os.close(reading)
    stream = os.fdopen(writing, "w")
    play(drill, report, stream)
    with pytest.raises(BrokenPipeError):  # there really was something to lose
        stream.close()


def test_a_stream_that_is_closed_stops_nothing(tmp_path: Path) -> None:
    """Not even a file object that was closed by somebody else."""
    drill, report = small(tmp_path)
    stream = io.StringIO()
    stream.close()
    play(drill, report, stream)


def test_a_reader_that_stalls_delays_no_event(tmp_path: Path) -> None:
    """A full pipe (a paused pager) holds back the printing thread alone; all is there when it reads on."""
    drill, report = passing(tmp_path)
    reading, writing = os.pipe()
    rounds = 60  # some 300 KiB, several times what a pipe holds
    read: list[str] = []
    with os.fdopen(reading) as reader:
        late = threading.Thread(target=lambda: read.extend(reader))
        with os.fdopen(writing, "w") as stream, view_of(drill, report, stream) as view:
            for event in drill.events * rounds:
                view.event(event)
            late.start()
        late.join()
    assert sum("run 3f9a2c41 on local, 11 steps" in line for line in read) == rounds


def test_events_of_a_run_that_was_taken_over_have_their_names(tmp_path: Path) -> None:
    """`past` tells the view what was recorded before; it prints none of it."""
    drill, report = small(tmp_path)
    cut = next(number for number, event in enumerate(drill.events) if event["kind"] == EventKind.UNDO_STARTED)
    stream = io.StringIO()
    past, rest = drill.events[:cut], drill.events[cut:]
    with make_view(
        "lines", "small", [], stream=stream, past=past, now_ns=drill.clock.mono_ns, environ={}
    ) as view:
        for event in rest:
            view.event(event)
        view.finish(report, drill.folder.report)
    first = stream.getvalue().splitlines()[0]
    assert first == "   2.400s  undo      undone: disarm fault f-1 on node-1 (read back: disarmed)"


def test_an_event_that_the_view_cannot_understand_is_told_at_the_end(tmp_path: Path) -> None:
    """It stops neither the run nor the view."""
    drill, report = small(tmp_path)
    stream = io.StringIO()
    with make_view("lines", "small", [], stream=stream, now_ns=drill.clock.mono_ns, environ={}) as view:
        view.event({**drill.events[0], "data": {}})
        view.finish(report, drill.folder.report)
    text = stream.getvalue()
    assert "bug in this view (KeyError: " in text
    assert "PASSED  small" in text
