"""A reader that leaves, or never was there, changes no exit status and stops nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kits.cli.drill_journal import passing

SCENARIO = """\
offbus: 1
name: tiny
environment: {uses: local}
steps: [{id: found, uses: deploy, with: {existing: {kind: Deployment, name: a, namespace: b}}}]
"""


def into_nobody(folder, *arguments, unbuffered):
    """Run a command whose standard output nobody reads: the pipe's other end is closed before it begins."""
    reader, writer = os.pipe()
    os.close(reader)
    env = os.environ | {
        "XDG_STATE_HOME": str(folder / "state"),
        "PYTHONUNBUFFERED": "1" if unbuffered else "",
    }
    with os.fdopen(writer, "wb") as out:
        return subprocess.run(
            [sys.executable, "-m", "offbus", *map(str, arguments)],
            stdout=out,
            stderr=subprocess.PIPE,
            cwd=folder,
            env=env,
            text=True,
            timeout=60,
            check=False,
        )


def closed(folder, redirection, *arguments):
    """Run a command whose standard streams a shell has closed."""
    line = f'exec "$0" -m offbus "$@" {redirection}'
    return subprocess.run(
        ["sh", "-c", line, sys.executable, *map(str, arguments)],
        cwd=folder,
        env=os.environ | {"XDG_STATE_HOME": str(folder / "state")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "good.yaml").write_text(SCENARIO)
    (tmp_path / "bad.yaml").write_text(SCENARIO.replace("name:", "nmae:"))
    passing(tmp_path / "runs")
    return tmp_path


COMMANDS = [
    (["validate", "good.yaml"], 0),
    (["validate", "bad.yaml"], 2),
    (["validate", "--format", "json", "bad.yaml"], 2),
    (["plan", "good.yaml"], 0),
    (["report", "--runs", "runs"], 0),
    (["report", "--runs", "runs", "--format", "json"], 0),
    (["steps"], 0),
    (["schema", "scenario"], 0),
    (["completion", "bash"], 0),
    (["recover", "--runs", "runs"], 0),
    (["--help"], 0),
    (["run", "--help"], 0),
    (["--version"], 0),
    (["nosuch"], 2),
]
IDS = [" ".join(arguments) for arguments, _ in COMMANDS]


@pytest.mark.parametrize(("arguments", "code"), COMMANDS, ids=IDS)
def test_a_pipe_that_nobody_reads(folder, arguments, code):
    for unbuffered in (False, True):
        result = into_nobody(folder, *arguments, unbuffered=unbuffered)
        assert result.returncode == code, result.stderr
        assert "Traceback" not in result.stderr
        assert "Broken pipe" not in result.stderr


@pytest.mark.parametrize(("arguments", "code"), COMMANDS, ids=IDS)
def test_streams_that_are_closed(folder, arguments, code):
    for redirection in (">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"):
        result = closed(folder, redirection, *arguments)
        assert (result.returncode, redirection) == (code, redirection), result.stderr
        assert "Traceback" not in result.stderr


def test_what_is_printed_never_lands_in_a_file_that_got_the_number_of_a_closed_stream(folder):
    """Without a guard, the first file that a command opens is number 1."""
    result = closed(
        folder, "<&- >&-", "report", "--runs", "runs", "--output", "out.md", "--format", "markdown"
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert (folder / "out.md").read_text().startswith("#")


def test_a_character_that_the_encoding_lacks_is_no_error(folder):
    result = subprocess.run(
        [sys.executable, "-m", "offbus", "report", "--runs", "runs"],
        cwd=folder,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, b"")
