"""`offbus observe --compare`, as people and scripts use it."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from offbus_steps.recordings.format import Header, Line, encoded
from tests.kits import REPOSITORY
from tests.kits.steps.observed_drills import EXAMPLES, lines_of, write, xid79

RECORDINGS = REPOSITORY / "tests/kits/recordings"


def offbus(*words: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "offbus", "observe", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=100)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_recordings_of_the_docs_are_those_of_the_page(name: str, tmp_path: Path) -> None:
    made = write(tmp_path / name, lines_of(EXAMPLES[name]))
    assert (RECORDINGS / name).read_bytes() == made.read_bytes(), (
        "run python -m tests.kits.steps.observed_drills"
    )


def test_the_observed_drill_has_no_difference() -> None:
    done = offbus("--compare", RECORDINGS / "xid79.jsonl", "--fault-at", "5s")
    assert (done.returncode, done.stderr) == (0, "")
    assert "no difference in 14 transitions" in done.stdout


def test_a_changed_order_is_named_for_people_and_for_programs() -> None:
    told = offbus("--compare", RECORDINGS / "reordered.jsonl")
    assert told.returncode == 1
    assert "remediating came 0.1 s before drain-succeeded (line 11)" in told.stdout
    done = offbus("--compare", RECORDINGS / "reordered.jsonl", "--format", "json")
    found = json.loads(done.stdout)
    assert (done.returncode, found["differences"], found["profile"]) == (1, 1, "main-2026-08")
    [quarantine] = found["quarantines"]
    assert quarantine["stages"]["cordon"] == {"at": 15.1, "line": 2}
    [difference] = quarantine["differences"]
    assert (difference["kind"], difference["line"]) == ("order", 10)


def test_a_faster_responder() -> None:
    done = offbus("--compare", RECORDINGS / "xid79.jsonl", "--faster", "20")
    assert done.returncode == 1
    assert "late: draining → drain-succeeded" in done.stdout
    assert "20 times faster" in done.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "`--compare FILE` compares a recording"),
        (["--compare", "none.jsonl"], "cannot read the recording none.jsonl: No such file"),
        (["--compare", __file__], "is no recording"),
        (
            ["--compare", RECORDINGS / "xid79.jsonl", "--profile", "main-2026-07"],
            "did you mean 'main-2026-08'?",
        ),
        (["--compare", RECORDINGS / "xid79.jsonl", "--profile", "x"], "known: main-2026-08"),
        (["--compare", RECORDINGS / "xid79.jsonl", "--fault-at", "5"], "--fault-at: '5' is not a duration"),
        (["--compare", RECORDINGS / "xid79.jsonl", "--faster", "0"], "--faster"),
    ],
    ids=[
        "nothing",
        "no file",
        "another file",
        "a profile's near name",
        "no profile",
        "no duration",
        "standstill",
    ],
)
def test_wrong_use(words: Sequence[object], says: str) -> None:
    done = offbus(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_recording_without_a_quarantine_proves_nothing(tmp_path: Path) -> None:
    done = offbus("--compare", write(tmp_path / "quiet.jsonl", []))
    assert (done.returncode, done.stdout) == (2, "")
    assert "shows no quarantine: there is nothing to compare" in done.stderr


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    done = offbus("--compare", tmp_path / "pipe")
    assert done.returncode == 2
    assert "it is a pipe, not a file" in done.stderr


def test_a_hostile_recording_writes_nothing_of_its_own_on_a_terminal(tmp_path: Path) -> None:
    attack = "\x1b]0;owned\x07\n::error::x ##vso[task.complete]\u202e"
    lines: list[Line] = [
        one.model_copy(update={"node": attack}) if hasattr(one, "to") else one for one in lines_of(xid79())
    ]
    header = Header(
        offbus=attack, serves=attack, responder=[attack], watched=[], unwatched={}, nodes=1, names=True
    )
    path = tmp_path / "hostile.jsonl"
    path.write_bytes(b"".join(map(encoded, (header, *lines))))
    for form in ("text", "json"):
        done = offbus("--compare", path, "--format", form)
        assert done.returncode == 0
        assert done.stdout.replace("\n", "").isprintable()
        assert not any(line.lstrip().startswith("::") for line in done.stdout.splitlines())
        assert "##vso[" not in done.stdout
