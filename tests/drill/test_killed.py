"""`kill -9`, Ctrl-C once and twice: the world is as before, or the recover line brings it there.

The sandbox outlives the runner, so what is compared is a living world.
"""

import json
import os
import signal
import struct
import tempfile
from pathlib import Path

import pytest

from tests.kits.drill.drill_world import processes_below, signal_program, up
from tests.kits.drill.following import reach, run_until
from tests.kits.drill.playing import LONG, SCENARIOS

pytestmark = pytest.mark.drill

POINTS = [
    ("undo_recorded", "delete Namespace"),
    ("step_ended", "deploy"),
    ("step_ready", "load"),
    ("undo_recorded", "restore"),
    ("step_ended", "prepare"),
    ("undo_recorded", "disarm"),
    ("fault_proven", "kernel"),
    ("observed", "cordoned"),
    ("undo_started", "inject"),
    ("step_ended", "works"),
]
"""Kind of an event, and a word in it: the runner is killed when it is in the journal."""


def world(offbus, sandbox):
    """Nodes, pages, pods, agents' faults and processes, read without our port."""
    status = json.loads(offbus.call("local", "status", "--json").stdout)
    nodes = [(node["name"], node["cordoned"], node["faults"]) for node in status["nodes"]]
    armed = [struct.unpack("<I", (n / "run/offbus/page/ctl").read_bytes()[:4])[0] for n in sandbox.nodes()]
    commands = sorted(command_of(pid) for pid in processes_below(sandbox.folder))
    return {"nodes": nodes, "pods": status["pods"], "armed": armed, "processes": commands}


def command_of(pid):
    words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return b" ".join(words[1:4]).decode()


@pytest.mark.parametrize(("kind", "word"), POINTS, ids=[f"{kind} {word}" for kind, word in POINTS])
def test_killed_anywhere_the_world_is_recovered(offbus, kind, word):
    sandbox = up(offbus)
    before = world(offbus, sandbox)
    runner, _lines = run_until(offbus, kind, word)
    os.kill(runner.pid, signal.SIGKILL)
    runner.communicate(timeout=LONG)
    recovered = offbus.call("recover", "latest")
    assert recovered.returncode == 0, recovered.stdout + recovered.stderr
    assert "residue: none" in recovered.stdout
    assert world(offbus, sandbox) == before
    again = offbus.call("recover", "latest")
    assert (again.returncode, "nothing to recover" in again.stdout) == (0, True)


def test_the_next_run_names_a_leftover_one_and_touches_nothing(offbus):
    sandbox = up(offbus)
    runner, _lines = run_until(offbus, "step_ended", "deploy")
    os.kill(runner.pid, signal.SIGKILL)
    runner.communicate(timeout=LONG)
    left = offbus.newest()
    between = world(offbus, sandbox)
    refused = offbus.call("run", SCENARIOS / "xid79.yaml")
    assert refused.returncode == 3
    assert f"offbus recover {left}" in refused.stderr
    assert world(offbus, sandbox) == between
    assert offbus.newest() == left
    assert offbus.call("recover", left).returncode == 0


def test_one_interrupt_undoes_and_exits_130(offbus):
    sandbox = up(offbus)
    before = world(offbus, sandbox)
    runner, _lines = run_until(offbus, "fault_proven", "cuda")
    os.kill(runner.pid, signal.SIGINT)
    output, _ = runner.communicate(timeout=LONG)
    assert runner.returncode == 130, output
    assert world(offbus, sandbox) == before


@pytest.mark.guarantee("G9")
def test_a_second_interrupt_leaves_at_once_and_its_recover_line_works(offbus):
    sandbox = up(offbus)
    before = world(offbus, sandbox)
    runner, lines = run_until(offbus, "fault_proven", "cuda")
    assert signal_program(sandbox.folder, "offbus_agent", signal.SIGSTOP), "the undo waits for them"
    os.kill(runner.pid, signal.SIGINT)
    reach(lines, "undo_started")
    os.kill(runner.pid, signal.SIGINT)
    output, _ = runner.communicate(timeout=LONG)
    signal_program(sandbox.folder, "offbus_agent", signal.SIGCONT)
    assert runner.returncode == 4, output
    line = next(line for line in output.splitlines() if "offbus recover " in line)
    recovered = offbus.call("recover", line.split()[-1])
    assert recovered.returncode == 0, recovered.stdout + recovered.stderr
    assert world(offbus, sandbox) == before


@pytest.fixture
def short_folder():
    """Sockets have paths of at most 107 bytes, and pytest's own folders are long."""
    with tempfile.TemporaryDirectory(prefix="ob") as folder:
        yield Path(folder)


@pytest.mark.parametrize("word", ["opening", "environment_opened"])
def test_an_interrupt_while_the_environment_opens_leaves_nothing(offbus, short_folder, monkeypatch, word):
    monkeypatch.setenv("TMPDIR", str(short_folder))  # where the sandbox keeps its short name
    runner, lines = run_until(offbus, "phase" if word == "opening" else word)
    os.kill(runner.pid, signal.SIGINT)
    output, _ = runner.communicate(timeout=LONG)
    list(lines)  # the journal is read to its end, so nothing of this test is left either
    assert runner.returncode == 130, output
    assert processes_below(offbus.home) == []
    assert [link for link in short_folder.glob("offbus-*/*") if link.is_symlink()] == []
    assert list(offbus.home.rglob("token")) == []


def test_killed_while_the_environment_opens_everything_that_was_started_is_ended(
    offbus, short_folder, monkeypatch
):
    monkeypatch.setenv("TMPDIR", str(short_folder))
    runner, _lines = run_until(offbus, "environment_opened")
    os.kill(runner.pid, signal.SIGKILL)
    runner.communicate(timeout=LONG)
    recovered = offbus.call("recover")
    assert (recovered.returncode, "residue: none" in recovered.stdout) == (0, True), recovered.stdout
    assert processes_below(offbus.home) == []
    assert list(offbus.home.rglob("token")) == []
