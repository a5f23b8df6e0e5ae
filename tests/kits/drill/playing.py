"""The command `offbus`, in a process of its own, and what a finished run left."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from offbus.journal.events import Event
from offbus.journal.reader import read_journal
from tests.kits import REPOSITORY

__all__ = ["LONG", "REPOSITORY", "SCENARIOS", "Finished", "Offbus", "copy_targets"]

SCENARIOS = REPOSITORY / "scenarios"
LONG = 240
"""Seconds after which a drill that hangs is given up; no test asserts how long one takes."""


def copy_targets(folder: Path) -> None:
    """Put the shipped targets beside a scenario in this folder, as `targets/`: it names no files elsewhere."""
    shutil.copytree(SCENARIOS / "targets", folder / "targets", dirs_exist_ok=True)


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
    limit_s: int = LONG

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
            self.command(*arguments),
            env=self.env,
            capture_output=True,
            text=True,
            timeout=self.limit_s,
            check=False,
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

    def journal(self) -> list[Event]:
        """The events of the newest journal, so far."""
        return read_journal(self.newest() / "journal.jsonl").events
