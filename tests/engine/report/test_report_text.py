"""Reports as text and Markdown: what they say of finished, failed, killed and running runs."""

import html
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from offbus.journal.events import EventKind
from offbus.journal.kinds import ADOPTED
from offbus.recorder import Moment
from offbus.report.fold import fold
from offbus.report.formatting import figure, seconds, stopwatch
from offbus.report.model import Report
from offbus.report.render.markdown import markdown_report
from offbus.report.render.text import text_report
from offbus.report.spans import plain
from offbus.report.summary import closing_lines
from offbus.runs import default_runs
from tests.kits.cli.drill_journal import failing, killed, passing, small
from tests.kits.cli.drill_writer import NOON, Drill
from tests.kits.virtual_time import VirtualClock

GOLDEN = """\
small: A GPU falls off the bus; the node is cordoned and drained; inference survives elsewhere.
  scenario  scenarios/xid79.yaml (sha256 abababababab)
  run       3f9a2c41 on local, from vm-1
  time      2026-01-31T12:00:00.000000Z to 2026-01-31T12:00:03.000000Z
  versions  offbus 0.1.0, python 3.11.7

Steps
  passed     inject   300 ms
  passed     cordon    1.2 s

Expectations
  true   metrics.time_to_cordon < duration("60s")

Faults
  node-1 GPU-1 (f-1): proven
    kernel  proven at +750.0 ms: seq 412, kernel: NVRM: Xid (PCI:0000:3b:00): 79, pid=4711, name=python3, GPU has \
fallen off the bus. offbus=3f9a2c41

Timeline (UTC, and milliseconds since the run began)
  12:00:00.100000       +100.0  run    phase: open
  12:00:00.200000       +200.0  run    local: environment opened
  12:00:00.500000       +500.0  step   inject: started
  12:00:00.600000       +600.0  fault  node-1 GPU-1: declared
  12:00:00.750000       +750.0  fault  node-1 GPU-1: shows on kernel  [seq 412, kernel: NVRM: Xid (PCI:0000:3b:00): \
79, pid=4711, name=python3, GPU has fallen off the bus. offbus=3f9a2c41]
  12:00:00.800000       +800.0  step   inject: passed
  12:00:00.900000       +900.0  step   cordon: started
  12:00:02.000000      +2000.0  node   Node/node-1: cordoned (was schedulable)
  12:00:02.100000      +2100.0  step   cordon: passed
  12:00:02.200000      +2200.0  run    phase: undo
  12:00:02.400000      +2400.0  undo   disarm fault f-1 on node-1: restored  [read back: disarmed]

Undos
  restored  disarm fault f-1 on node-1 (by runner: read back: disarmed)

Metrics
  time_to_cordon      1.25 s  from events 9, 12

PASSED  small  in 3.0 s
  time to  cordon 1.2 s
  faults   1 of 1 proven
residue: none
report: RUNS/report.json
"""


def closing(report: Report, place: Path) -> list[str]:
    """The closing lines as text."""
    return plain(closing_lines(report, place)).splitlines()


def test_a_small_report(tmp_path: Path) -> None:
    """Everything that happened, with its proof, then the closing lines."""
    _, report = small(tmp_path)
    assert plain(text_report(report, Path("RUNS/report.json"))) == GOLDEN


def test_a_failed_run_names_each_reason_and_what_is_left(tmp_path: Path) -> None:
    """Residue stands once, with its fix command."""
    drill, report = failing(tmp_path)
    lines = closing(report, drill.folder.report)
    assert lines[0] == "FAILED  xid79-nvsentinel  in 3m 14s"
    assert "  - vacuous: no fault was proven, so the drill shows nothing" in lines
    assert lines[-4:] == [
        "residue: 1 item",
        "  - restore LD_PRELOAD of Deployment/drill/vllm: not undone: spec.template was changed by helm",
        "    fix: offbus recover 3f9a2c41",
        f"report: {drill.folder.report}",
    ]


def test_a_killed_run_says_how_to_finish_it(tmp_path: Path) -> None:
    """With the changes that are waiting, and the journal where there is no report yet."""
    drill, report = killed(tmp_path)
    lines = closing(report, drill.folder.journal)
    assert lines[0] == "ABORTED  xid79-nvsentinel  after 13.0 s"
    assert "residue: 3 changes not undone yet" in lines
    assert "  - disarm fault 3f9a2c41-1 on node-1" in lines
    assert lines[-2:] == [
        f"finish it: offbus recover {drill.folder.path}",
        f"journal: {drill.folder.journal}",
    ]


def test_where_runs_are_kept_the_id_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`offbus recover ID` finds it there."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    drill, report = killed(default_runs())
    assert "finish it: offbus recover 3f9a2c41" in closing(report, drill.folder.report)


def test_a_run_that_goes_on_is_not_called_aborted(tmp_path: Path) -> None:
    """What it has not done yet is no reason, and there is nothing to recover."""
    drill, report = killed(tmp_path)
    text = plain(closing_lines(report, drill.folder.journal, goes_on=True))
    assert text.startswith("RUNNING  xid79-nvsentinel  after 13.0 s\n")
    assert "did not finish" not in text
    assert "offbus recover" not in text


def test_an_interrupted_run_says_so(tmp_path: Path) -> None:
    """By which signal."""
    drill = Drill(tmp_path)
    drill.begin()
    drill.at(2).write(EventKind.STOPPED, cause="signal", reason="interrupted by SIGINT")
    report = drill.finish()
    assert closing(report, drill.folder.report)[:2] == [
        "INTERRUPTED  xid79-nvsentinel  in 2.0 s",
        "  - interrupted by SIGINT",
    ]


@pytest.mark.parametrize("play", [passing, failing, small], ids=["passing", "failing", "small"])
def test_every_prefix_of_a_journal_makes_every_report(
    tmp_path: Path, play: Callable[[Path], tuple[Drill, Report]]
) -> None:
    """A run can be killed after any event."""
    drill, _ = play(tmp_path)
    for length in range(1, len(drill.events)):
        report = fold(drill.events[:length])
        assert "\nABORTED  " in plain(text_report(report, drill.folder.journal))
        assert ": aborted in " in markdown_report(report)


def test_times_of_another_clock_are_told_with_their_error(tmp_path: Path) -> None:
    """Mapped to the run's clock."""
    drill = Drill(tmp_path)
    drill.begin()
    drill.at(1.0)
    moment = Moment(mono_ns=drill.clock.mono_ns() - 2_500_000, error_ns=300_000, clock="node-1")
    drill.recorder().observed(lane="fault", subject="f-1", to="armed", at=moment)
    text = plain(text_report(drill.finish(), drill.folder.report))
    assert "+1000.0  fault  f-1: armed  [by its own clock +997.5 ms, to within 0.3 ms]" in text


def test_after_a_takeover_utc_tells_the_time(tmp_path: Path) -> None:
    """The new owner's monotonic clock may be of another machine or boot."""
    drill, _ = killed(tmp_path)

    clock = VirtualClock("another", begins=NOON + timedelta(hours=1))
    events = list(drill.events)
    writer = type(drill.journal)(drill.folder.journal, drill.folder.id, clock, next_seq=len(events) + 1)
    writer.listen(events.append)
    writer.append(ADOPTED({"by": "recover", "host": "vm-2", "pid": 7, "epoch": 2, "torn_bytes": 0}))
    writer.close()
    text = plain(text_report(fold(events), drill.folder.report))
    assert "13:00:00.000000   +3600000.0  run       vm-2: taken over by recover" in text


@pytest.mark.parametrize("reason", ["residue: 2 volumes of the last run", "not undone: a drain of yesterday"])
def test_a_reason_is_told_whatever_it_begins_with(tmp_path: Path, reason: str) -> None:
    """The lines of what is left repeat only reasons that are about it."""
    drill = Drill(tmp_path)
    drill.begin()
    drill.at(2).write(EventKind.STOPPED, cause="guard", reason=reason)
    assert f"  - {reason}" in closing(drill.finish(), drill.folder.report)


def test_an_undo_whose_record_is_lost_is_told(tmp_path: Path) -> None:
    """The lines of what is left have no title for it."""
    drill, _ = killed(tmp_path)
    events = [one for one in drill.events if one["data"].get("undo") != 2]
    lines = closing(fold(events), drill.folder.journal)
    assert "  - not undone: undo 2, whose record is missing" in lines


@pytest.mark.parametrize("host", ["signal", "journal"])
def test_a_takeover_by_a_host_of_any_name_is_no_stop(tmp_path: Path, host: str) -> None:
    """Why a run stopped is not read from the words of its timeline."""
    drill, _ = killed(tmp_path)
    drill.write(EventKind.ADOPTED, by="recover", host=host, pid=7, epoch=2, torn_bytes=0)
    report = drill.finish()
    assert not closing(report, drill.folder.report)[0].startswith("INTERRUPTED")
    assert [one.cause for one in report.stops] == []
    assert [(one.by, one.host) for one in report.takeovers] == [("recover", host)]


def test_what_a_step_says_is_no_stop_and_no_takeover(tmp_path: Path) -> None:
    """In whatever lane and words."""
    drill = Drill(tmp_path)
    drill.begin()
    recorder = drill.at(1.0).recorder("deploy")
    recorder.observed(lane="run", subject="signal", to="taken over by recover")
    drill.clock.begins -= timedelta(hours=1)  # UTC is set back: the monotonic clock goes on telling the time
    recorder.observed(lane="x", subject="y", to="z")
    report = drill.at(2.0).finish()
    text = plain(text_report(report, drill.folder.report))
    assert "INTERRUPTED" not in text
    assert "+1000.0  x    y: z" in text


def test_markdown_has_the_same_facts(tmp_path: Path) -> None:
    """In tables."""
    _, report = failing(tmp_path)
    text = markdown_report(report)
    assert "## ❌ xid79-nvsentinel: failed in 3m 14s" in text
    assert "| cordon | timed out | 3m 00s | was not seen within 180 s |" in text
    assert "no faulted NVML call by a process of the target was seen |" in text
    assert "| offbus recover 3f9a2c41 |" in text


LINKED = (
    "see www.evil.example/login",
    "WWW.evil.example",
    "admin@evil.example",
    "(@torvalds)",
    "http://evil.example/x",
    "GH-12 gh-7",
    "evil/repo#5",
    "0123456789abcdef0123456789abcdef01234567",
)


@pytest.mark.parametrize("text", LINKED)
def test_markdown_from_outside_is_no_link(tmp_path: Path, text: str) -> None:
    """GitHub links an unbroken `www.`, and in what is shown `x@y`, issues and commits, whatever was escaped (GFM,
    "Autolinks"; GitHub's "Autolinked references and URLs")."""
    drill = Drill(tmp_path)
    drill.begin()
    drill.step("deploy", 1.0, 2.0, "failed", message=text)
    row = next(line for line in markdown_report(drill.finish()).splitlines() if line.startswith("| deploy"))
    assert not re.search(r"(?i)www\.", row)
    assert not re.search(r"(?<!\\):", row)
    shown = html.unescape(re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", row))
    assert not re.search(r"(?i)@\w|gh-\d|#\d|\b[0-9a-f]{40}\b", shown)
    assert text in shown.replace("\u200b", "")


def test_markdown_from_outside_stays_text(tmp_path: Path) -> None:
    """No HTML, no link, no image, no further column or heading can be smuggled in."""
    drill = Drill(tmp_path)
    drill.begin()
    hostile = "<img src=x> [a](b) ![c](d) | `e` **f** $h$ \n## g"
    drill.step("deploy", 1.0, 2.0, "failed", message=hostile)
    row = next(line for line in markdown_report(drill.finish()).splitlines() if line.startswith("| deploy"))
    unescaped = re.sub(r"\\.", "", row)
    assert not set(unescaped) & set("<>[]()!`*#$")
    assert unescaped.count("|") == 5


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0 ms"),
        (0.0412, "41 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1.0 s"),
        (31.24, "31.2 s"),
        (59.96, "1m 00s"),
        (185, "3m 05s"),
        (3599.6, "1h 00m"),
        (7384, "2h 03m"),
    ],
)
def test_durations_are_short_and_never_sixty_seconds(value: float, text: str) -> None:
    """Rounded within their unit."""
    assert seconds(value) == text


@pytest.mark.parametrize(("value", "text"), [(-1, "0:00"), (13.9, "0:13"), (725, "12:05"), (3723, "1:02:03")])
def test_a_stopwatch_counts_whole_seconds(value: float, text: str) -> None:
    """And never shows a time that has not passed."""
    assert stopwatch(value) == text


@pytest.mark.parametrize(
    ("value", "unit", "share", "text"),
    [
        (1.254, "s", False, "1.25 s"),
        (240 / 243, "", True, "98.77 %"),
        (240 / 243, "1", False, "0.988"),
        (1243, "", False, "1,243"),
        (1.5, "GiB", False, "1.500 GiB"),
    ],
)
def test_figures_carry_their_unit(value: float, unit: str, share: bool, text: str) -> None:
    """Shares as percent, durations as durations."""
    assert figure(value, unit, share=share) == text
