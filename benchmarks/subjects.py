"""The two engines' equal work: `--help`, a check of 20 steps, and runs of N steps that do nothing."""

import json
import sys
from pathlib import Path

from benchmarks.timing import Subject

__all__ = ["ENGINES", "cold_start", "run_of", "validation"]

ENGINES = ("offbus", "offbus, an undo each", "chaos toolkit")
"""offbus's runs are journaled event by event; with an undo each, every record is fsynced before its step goes on.
Chaos Toolkit writes its journal once, at the end."""
BIN = Path(sys.executable).parent
OFFBUS = str(BIN / "offbus")
CHAOS = [str(BIN / "chaos"), "--no-version-check", "--no-log-file"]
HEAD = """\
offbus: 1
name: bench
environment: {uses: nothing}
timeout: 1h
undo_timeout: 1h
steps:
  - {id: fault, uses: fault}
"""
"""A run without a proven fault fails, so each begins with one; it is in the run of one step too, hence not counted."""


def cold_start() -> list[Subject]:
    """`--help` of each."""
    return [Subject("offbus", [OFFBUS, "--help"]), Subject("chaos toolkit", [CHAOS[0], "--help"])]


def detectors() -> list[Subject]:
    """Every fault in every dialect for every detector; the peer has nothing alike, its start is beside it."""
    return [Subject("offbus", [OFFBUS, "conformance"]), Subject("chaos toolkit", [CHAOS[0], "--help"])]


def validation(folder: Path, steps: int = 20) -> list[Subject]:
    """A check of a scenario of that many steps."""
    return [
        Subject("offbus", [OFFBUS, "validate", scenario(folder, steps, "noop")]),
        Subject("chaos toolkit", [*CHAOS, "validate", experiment(folder, steps)]),
    ]


def run_of(folder: Path, engine: str, steps: int) -> Subject:
    """A run of that many steps."""
    if engine == "chaos toolkit":
        journal = str(folder / "journal.json")
        command = [*CHAOS, "run", "--journal-path", journal, experiment(folder, steps)]
    else:
        file = scenario(folder, steps, "noop" if engine == "offbus" else "noop_undo")
        command = [OFFBUS, "run", "--view", "quiet", "--runs", str(folder / "runs"), file]
    return Subject(f"{engine}/{steps}", command)


def scenario(folder: Path, steps: int, uses: str) -> str:
    """Write a scenario; its path."""
    lines = [f"  - {{id: s{number}, uses: {uses}}}\n" for number in range(steps)]
    path = folder / f"{uses}-{steps}.yaml"
    path.write_text(HEAD + "".join(lines))
    return str(path)


def experiment(folder: Path, steps: int) -> str:
    """Write a Chaos Toolkit experiment (chaostoolkit.org, reference of the experiment format); its path."""
    provider = {"type": "python", "module": "offbus_bench.chaos", "func": "noop"}
    method = [{"type": "action", "name": f"s{number}", "provider": provider} for number in range(steps)]
    path = folder / f"experiment-{steps}.json"
    body = {"version": "1.0.0", "title": "bench", "description": "Nothing.", "method": method}
    path.write_text(json.dumps(body))
    return str(path)
