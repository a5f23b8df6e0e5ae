"""A drill that is recorded: the stand-in goes about its fault as the real responder was seen to, only faster."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kits.drill.playing import LONG, SCENARIOS, Offbus

pytestmark = [pytest.mark.drill, pytest.mark.slow]

TIMES = {"early", "late"}
"""Differences that a busy machine can make; the order is the stand-in's own."""


@pytest.mark.parametrize(("scenario", "situation"), [("xid79.yaml", "repair")])
def test_a_recorded_drill_has_the_course_of_its_release(
    offbus: Offbus, tmp_path: Path, scenario: str, situation: str
) -> None:
    up = offbus.call("local", "up")
    assert up.returncode == 0, up.stderr
    path = tmp_path / "drill.jsonl"
    command = [sys.executable, "-m", "offbus", "observe", "--env", "local", "--out", str(path)]
    recorder = subprocess.Popen(
        command, env=offbus.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert recorder.stderr is not None
        while "recording 3 nodes" not in (line := recorder.stderr.readline()):
            assert line, "it ended"
        run = offbus.run(SCENARIOS / scenario)
        assert run.code == 0, run.output
        recorder.send_signal(signal.SIGINT)
        _, told = recorder.communicate(timeout=LONG)
        assert recorder.returncode == 0, told
    finally:
        recorder.kill()
        recorder.communicate()  # also where a check failed: its pipes are closed
    done = offbus.call("observe", "--compare", path, "--faster", "20", "--format", "json")
    found = json.loads(done.stdout)
    [quarantine] = found["quarantines"]
    assert (quarantine["situation"], quarantine["actions"]) == (situation, ["RESTART_BM"])
    assert quarantine["compared"] >= 12
    assert [one for one in quarantine["differences"] if one["kind"] not in TIMES] == []
    assert "llm" not in path.read_text(), "no name of the target is told"
