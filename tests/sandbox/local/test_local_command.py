"""`offbus local up|down|status`, as people and scripts use it."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from offbus_sandbox.layout import Layout
from offbus_sandbox.processes.table import Process

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def offbus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Runs `offbus local …` with a state folder of the test's own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", "from offbus.cli.main import main; main()", "local", *words]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)

    yield run
    run("down", "--name", "one")


def test_a_sandbox_is_started_shown_and_ended(offbus: Run, tmp_path: Path) -> None:
    up = offbus("up", "--name", "one", "--nodes", "1", "--gpus", "1", "--no-responder")
    assert (up.returncode, up.stderr) == (0, "")
    assert "one is up: 1 nodes, 1 GPUs" in up.stdout
    address = re.search(r"gateway: (http://127\.0\.0\.1:\d+), token in (\S+)\n", up.stdout)
    assert address
    assert httpx.get(f"{address[1]}/health").json()["environment"] == "local"
    token = {"Authorization": f"Bearer {Path(address[2]).read_text().strip()}"}
    assert httpx.get(f"{address[1]}/api/v1/faults", headers=token).json() == {"faults": [], "count": 0}

    again = offbus("up", "--name", "one", "--nodes", "1", "--gpus", "1", "--no-responder", "--json")
    assert (json.loads(again.stdout)["started"], json.loads(again.stdout)["gateway"]) == (False, address[1])

    other = offbus("up", "--name", "one", "--nodes", "2")
    assert other.returncode == 3
    assert "offbus local down --name one" in other.stderr

    status = offbus("status", "--name", "one", "--json")
    found = json.loads(status.stdout)
    assert status.returncode == 0
    assert [(n["name"], n["gpus"], n["faults"]) for n in found["nodes"]] == [("node-1", 1, [])]
    assert "node-1: schedulable, 1 GPUs, no faults" in offbus("status", "--name", "one").stdout

    down = offbus("down", "--name", "one")
    assert (down.returncode, down.stderr) == (0, "")
    assert not (tmp_path / "offbus/local/one").exists()
    supervisor = Process.read(found["pid"])
    assert supervisor is None or supervisor.ended


def test_paths_of_any_length_will_do(offbus: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket's path may have 107 bytes: here state and temporary files have far longer ones."""
    long = tmp_path / ("x" * 120) / ("y" * 120)
    long.mkdir(parents=True)
    monkeypatch.setenv("TMPDIR", str(long))
    monkeypatch.setenv("XDG_STATE_HOME", str(long / "state"))
    up = offbus("up", "--name", "one", "--nodes", "1", "--gpus", "1", "--no-responder")
    assert (up.returncode, up.stderr) == (0, "")
    status = json.loads(offbus("status", "--name", "one", "--json").stdout)
    assert [node["name"] for node in status["nodes"]] == ["node-1"]
    monkeypatch.setattr("tempfile.tempdir", str(long))  # what TMPDIR says to programs, here too
    alias = Layout.of(long / "state/offbus/local/one").root
    assert (alias.is_symlink(), long in alias.parents) == (True, False)
    assert offbus("down", "--name", "one").returncode == 0
    assert not alias.is_symlink()


def test_what_is_not_up(offbus: Run) -> None:
    status = offbus("status")
    assert status.returncode == 1
    assert "offbus local up" in status.stdout
    assert offbus("down").returncode == 0


@pytest.mark.parametrize("name", ["../x", "A", ""], ids=["path", "capital", "empty"])
def test_a_name_that_could_be_a_path_is_refused(offbus: Run, name: str) -> None:
    refused = offbus("up", "--name", name)
    assert refused.returncode == 2
    assert "is not a valid sandbox name" in refused.stderr
