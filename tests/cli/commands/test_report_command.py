"""`offbus report`, as a process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from offbus.report.model import Report
from offbus.runs import RunFolder
from tests.kits.cli.drill_journal import failing, killed, passing, small


def offbus(*arguments: str | Path, **environ: str) -> "subprocess.CompletedProcess[str]":
    """`offbus report` with these arguments."""
    command = [sys.executable, "-m", "offbus", "report", *map(str, arguments)]
    clean = {
        key: value
        for key, value in os.environ.items()
        if key not in ("FORCE_COLOR", "NO_COLOR", "OFFBUS_RUNS")
    }
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=clean | environ)


def test_the_newest_run_is_the_default(tmp_path: Path) -> None:
    """Its text goes to stdout, without colours into a pipe."""
    drill, _ = small(tmp_path)
    result = offbus("--runs", tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert "PASSED  small  in 3.0 s" in result.stdout
    assert result.stdout.endswith(f"journal: {drill.folder.journal}\n")
    assert "\x1b" not in result.stdout


@pytest.mark.parametrize("how", ["id", "prefix", "name", "path"])
def test_a_run_is_found_in_every_way(tmp_path: Path, how: str) -> None:
    """By its id, the begin of it, the folder's name, or a path."""
    drill, _ = small(tmp_path)
    wanted = {
        "id": "3f9a2c41",
        "prefix": "3f9",
        "name": drill.folder.path.name,
        "path": str(drill.folder.path),
    }[how]
    assert offbus(wanted, "--runs", tmp_path).returncode == 0


def test_json_is_the_published_model_of_a_failed_run(tmp_path: Path) -> None:
    """Exit code 0: the report could be made, whatever it says."""
    _, report = failing(tmp_path)
    result = offbus("--runs", tmp_path, "--format", "json")
    assert result.returncode == 0
    assert Report.model_validate_json(result.stdout) == report


def test_a_killed_run_has_a_report_too(tmp_path: Path) -> None:
    """Also when its last line is torn."""
    drill, _ = killed(tmp_path)
    with drill.folder.journal.open("ab") as journal:
        journal.write(b'{"v":1,"seq":')
    result = offbus("--runs", tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert "ABORTED  xid79-nvsentinel" in result.stdout


def test_a_run_that_is_held_by_its_runner_is_running(tmp_path: Path) -> None:
    """Its lock says so."""
    drill, _ = killed(tmp_path)
    with drill.folder.lock():
        assert "RUNNING  xid79-nvsentinel" in offbus("--runs", tmp_path).stdout


def test_a_damaged_line_is_told_and_left_out(tmp_path: Path) -> None:
    """The rest is still worth a report."""
    drill, _ = passing(tmp_path)
    lines = drill.folder.journal.read_bytes().splitlines(keepends=True)
    spoilt = next(number for number, line in enumerate(lines) if b"scheduled" in line)
    lines[spoilt] = lines[spoilt].replace(b"scheduled", b"smuggled!")
    drill.folder.journal.write_bytes(b"".join(lines))
    result = offbus("--runs", tmp_path)
    assert result.returncode == 0
    assert (
        f"{drill.folder.journal}:{spoilt + 1}: the line does not match its checksum; the line is skipped"
        in result.stderr
    )


def test_a_journal_without_its_begin_says_what_is_missing(tmp_path: Path) -> None:
    """What is left of it is shown."""
    drill, _ = small(tmp_path)
    lines = drill.folder.journal.read_bytes().splitlines(keepends=True)
    drill.folder.journal.write_bytes(b"".join(lines[4:]))
    result = offbus("--runs", tmp_path)
    assert result.returncode == 0
    assert "the journal is damaged: events 1 to 4 are missing" in result.stdout


def test_a_journal_that_tells_nothing_is_one_clear_error(tmp_path: Path) -> None:
    """Exit code 3, no traceback."""
    drill, _ = small(tmp_path)
    drill.folder.journal.write_bytes(b"")
    result = offbus("--runs", tmp_path)
    assert result.returncode == 3
    assert "offbus: " in result.stderr
    assert "Traceback" not in result.stderr
    assert "internal error" not in result.stderr


def test_no_such_run(tmp_path: Path) -> None:
    """Exit code 2, with the runs that there are."""
    small(tmp_path)
    result = offbus("ffff", "--runs", tmp_path)
    assert result.returncode == 2
    assert "newest runs: 3f9a2c41" in result.stderr


def test_output_goes_to_a_file(tmp_path: Path) -> None:
    """And nothing to stdout; a place that cannot be written is wrong use."""
    small(tmp_path / "runs")
    page = tmp_path / "page.md"
    result = offbus("--runs", tmp_path / "runs", "--format", "markdown", "--output", page)
    assert (result.returncode, result.stdout) == (0, "")
    assert page.read_text(encoding="utf-8").startswith("## ✅ small: passed in 3.0 s\n")
    result = offbus("--runs", tmp_path / "runs", "--output", tmp_path / "nowhere" / "page.md")
    assert result.returncode == 2
    assert "No such file or directory" in result.stderr


def test_a_reader_that_leaves_is_no_error(tmp_path: Path) -> None:
    """`offbus report | head -1`."""
    passing(tmp_path)
    script = '"$1" -m offbus report --runs "$2" | head -1; exit "${PIPESTATUS[0]}"'
    command = ["bash", "-c", script, "bash", sys.executable, str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("xid79-nvsentinel: ")


def test_a_stdout_without_unicode_is_no_error(tmp_path: Path) -> None:
    """Markdown has signs that ASCII lacks."""
    small(tmp_path)
    result = offbus("--runs", tmp_path, "--format", "markdown", PYTHONIOENCODING="ascii")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("## ? small: passed")


def test_reading_a_report_changes_nothing(tmp_path: Path) -> None:
    """A finished run's folder holds what it held."""
    drill, _ = small(tmp_path)
    before = _contents(drill.folder)
    assert offbus("--runs", tmp_path).returncode == 0
    assert _contents(drill.folder) == before


def _contents(folder: RunFolder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.path.iterdir()}
