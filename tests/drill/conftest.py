"""Drill tests play whole scenarios on the embedded environment, with the real command in a process of its own."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[2]
SCENARIOS = REPOSITORY / "scenarios"
LONG = 240
"""Seconds after which a drill that hangs is given up; no test asserts how long one takes."""


@dataclass(frozen=True)
class Finished:
    """A run that has ended."""

    code: int
    output: str
    report: dict[str, Any]
    folder: Path

    def step(self, name: str) -> dict[str, Any]:
        """A step of the report."""
        found: dict[str, Any] = next(step for step in self.report["steps"] if step["id"] == name)
        return found

    def first(self, lane: str, what: str) -> dict[str, Any]:
        """The first entry of the timeline in a lane whose text contains `what`."""
        for entry in self.report["timeline"]:
            if entry["lane"] == lane and what in f"{entry['subject']} {entry['what']}":
                found: dict[str, Any] = entry
                return found
        raise AssertionError(f"no {lane} entry with {what!r}: {[e['what'] for e in self.report['timeline']]}")


@dataclass
class Offbus:
    """The command, with its state below one folder."""

    home: Path

    @property
    def runs(self) -> Path:
        """Where runs are kept."""
        return self.home / "offbus" / "runs"

    @property
    def env(self) -> dict[str, str]:
        """The environment of every call."""
        return os.environ | {"XDG_STATE_HOME": str(self.home), "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"}

    def call(self, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end."""
        return subprocess.run(
            self.command(*arguments), env=self.env, capture_output=True, text=True, timeout=LONG, check=False
        )

    def start(self, *arguments: str | Path) -> "subprocess.Popen[str]":
        """Start a command in a process group of its own."""
        return subprocess.Popen(
            self.command(*arguments),
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def command(self, *arguments: str | Path) -> list[str]:
        """The command line."""
        return [sys.executable, "-m", "offbus", *map(str, arguments)]

    def run(self, scenario: Path, *options: str) -> Finished:
        """Play a scenario to its end."""
        done = self.call("run", scenario, "--view", "lines", *options)
        return self.finished(done.returncode, done.stdout + done.stderr)

    def finished(self, code: int, output: str) -> Finished:
        """What the newest run left."""
        folder = self.newest()
        report = json.loads((folder / "report.json").read_text())
        return Finished(code, output, report, folder)

    def newest(self) -> Path:
        """The newest run's folder."""
        return max(path for path in self.runs.iterdir() if path.name[0] != ".")

    def journal(self) -> list[dict[str, Any]]:
        """The whole lines of the newest journal."""
        lines = (self.newest() / "journal.jsonl").read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]


@pytest.fixture
def offbus(tmp_path: Path) -> Iterator[Offbus]:
    """The command; whatever sandbox a test leaves running is ended after it."""
    command = Offbus(tmp_path)
    yield command
    command.call("local", "down")
    for survivor in processes_below(tmp_path):
        os.kill(survivor, signal.SIGKILL)


@dataclass
class Sandbox:
    """A sandbox that outlives its runs (`offbus local up`)."""

    offbus: Offbus

    @property
    def folder(self) -> Path:
        """Where it lives."""
        status = json.loads(self.offbus.call("local", "status", "--json").stdout)
        return Path(status["folder"])

    def nodes(self) -> list[Path]:
        """The nodes' folders."""
        return sorted((self.folder / "nodes").iterdir())


def up(offbus: Offbus, *options: str) -> Sandbox:
    """Start a sandbox."""
    done = offbus.call("local", "up", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    return Sandbox(offbus)


def processes_below(folder: Path) -> list[int]:
    """Every process that was started with `folder`, or a short name of it, in its environment or command line, or
    that is in it."""
    names = [name.encode() for name in (str(folder), *aliases_of(folder))]
    return [pid for pid in all_pids() if pid != os.getpid() and is_below(pid, folder, names)]


def aliases_of(folder: Path) -> list[str]:
    """Short names of sandboxes below a folder: programs with sockets use them where paths are long."""
    home = Path(tempfile.gettempdir(), f"offbus-{os.getuid()}")
    links = [link for link in home.iterdir() if link.is_symlink()] if home.is_dir() else []
    return [str(link) for link in links if link.readlink().is_relative_to(folder.resolve())]


def all_pids() -> list[int]:
    """Every process."""
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def is_below(pid: int, folder: Path, names: list[bytes]) -> bool:
    """Whether a process belongs to a folder."""
    entry = Path("/proc", str(pid))
    try:
        said = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
        where = (entry / "cwd").readlink()
    except OSError:
        return False
    return any(name in said for name in names) or where.is_relative_to(folder.resolve())


def signal_program(folder: Path, program: str, number: signal.Signals) -> list[int]:
    """Send a signal to every process of a sandbox that runs a Python module; who got it."""
    found = []
    for pid in processes_below(folder):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if program.encode() in words:
            os.kill(pid, number)
            found.append(pid)
    return found


def variant(tmp_path: Path, name: str, **changes: str) -> Path:
    """A copy of a scenario, next to its targets, with pieces of its text replaced."""
    text = (SCENARIOS / f"{name}.yaml").read_text()
    for old, new in changes.items():
        key = old.replace("__", " ")
        assert key in text, f"{key!r} is not in {name}.yaml"
        text = text.replace(key, new)
    folder = tmp_path / "scenarios"
    folder.mkdir(exist_ok=True)
    if not (folder / "targets").exists():
        (folder / "targets").symlink_to(SCENARIOS / "targets")
    path = folder / f"{name}.yaml"
    path.write_text(text)
    return path
