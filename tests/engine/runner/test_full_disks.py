"""A journal that cannot be written: nothing more is changed, what was done is undone, and it is said."""

import os
import resource
import signal
import subprocess
import sys

import pytest

from offbus.exits import Exit
from tests.kits import REPOSITORY
from tests.kits.engine.killed_run import STEPS
from tests.kits.engine.player import finish

PLAY = """
import sys
sys.path.insert(0, {repository!r})
from pathlib import Path
from tests.kits.engine.player import Drill
from offbus.errors import JournalError
drill = Drill(Path({folder!r}), {steps!r}, on_event={on_event})
report = drill.play()
print(report.exit, drill.world, "|".join(report.reasons))
"""
STEPS_YAML = "".join(f"  - {line}\n" for line in STEPS.splitlines())


def played_in_child(tmp_path, on_event, limit=None):
    """A drill in a process of its own, because what happens to its files would happen to ours."""
    program = PLAY.format(
        repository=str(REPOSITORY), folder=str(tmp_path), steps=STEPS_YAML, on_event=on_event
    )

    def limited():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        if limit:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    done = subprocess.run(
        [sys.executable, "-B", "-c", program],  # -B: no bytecode is cut short, which others would read
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=limited,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.guarantee("G13")
@pytest.mark.parametrize("limit", [1200, 2000, 2800, 3600, 4400, 5200])
def test_a_disk_that_fills_in_the_middle_undoes_and_says_so(tmp_path, limit):
    """RLIMIT_FSIZE makes write(2) fail with EFBIG after a part of the line, as a full disk does."""
    said = played_in_child(tmp_path, "None", limit)
    assert said.startswith("3 {}"), said
    assert "cannot be written" in said


@pytest.mark.guarantee("G13")
def test_an_fsync_error_refuses_the_effect_and_undoes(tmp_path):
    """The journal becomes a pipe: it can be written, and fsync(2) fails with EINVAL."""
    swap = (
        "lambda session, event: event['kind'] == 'step_ended' and event['step'] == 'fault' and "
        "__import__('os').dup2(__import__('os').pipe()[1], session._journal._fd)"
    )
    said = played_in_child(tmp_path, swap)
    assert said.startswith("3 {}"), said
    assert "cannot be written" in said


@pytest.mark.guarantee("G13")
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_full_disk_undoes_and_says_so(tmp_path):
    """ENOSPC, for real: a tmpfs of a few pages in a mount namespace of its own."""
    (tmp_path / "disk").mkdir()
    program = PLAY.format(
        repository=str(REPOSITORY),
        folder=str(tmp_path),
        steps=STEPS_YAML,
        on_event="lambda session, event: event['kind'] == 'step_ended' and event['step'] == 'fault' and "
        "open(session._journal.path.parent / 'filler', 'wb', buffering=0).write(bytes(1 << 20))",
    )
    script = 'mkdir -p "$1" && mount -t tmpfs -o size=8k tmpfs "$1" && exec "$2" -c "$3"'
    run = tmp_path / "20260101T000000Z-drill-cafe0001"
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", str(run), sys.executable, program],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.startswith("3 {}"), done.stdout + done.stderr
    assert "No space left" in done.stdout


@pytest.mark.guarantee("G13")
def test_a_recovery_on_a_full_disk_undoes_and_says_so(killed):
    played, folder, _lines = killed
    size = folder.journal.stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, before[1]))
    try:
        report = finish(folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert played.world == {"one": "before"}
    assert (report.exit, report.residue) == (Exit.COULD_NOT_RUN, [])
    assert any("cannot be written" in reason for reason in report.reasons)
    assert folder.unfinished.exists()
    assert finish(folder).residue == []
    assert not folder.unfinished.exists()
