"""A scenario with a matrix, and what its plays leave, for `Commands` of left_runs."""

import json
from pathlib import Path
from typing import Any

from tests.kits.cli.left_runs import Commands

__all__ = ["played", "runs_of", "scenario", "summary"]

FAULT = "  - {id: fault, uses: set_key, with: {key: f, fault: true, undo: disarm}}\n"


def scenario(commands: Commands, matrix: str, *, expect: str = "true", place: str = "world.json") -> Path:
    path = commands.folder / "many.yaml"
    path.write_text(
        "offbus: 1\nname: many\n"
        "inputs: {n: {type: integer, default: 0}, secs: {type: number, default: 0.0}}\n"
        f"matrix: {matrix}\n"
        f"environment: {{uses: world, path: {commands.folder / place}}}\nsteps:\n{FAULT}"
        '  - {id: slow, uses: wait, timeout: 1h, with: {seconds: "${{ inputs.secs }}"}}\n'
        f"expect: ['inputs.n >= 0 && inputs.secs >= 0.0 && ({expect})']\n"
    )
    return path


def played(commands: Commands) -> Path:
    """The folder of the only play."""
    [folder] = commands.runs.glob("*-many-matrix-*")
    return folder


def summary(commands: Commands) -> dict[str, Any]:
    """Its report."""
    found: dict[str, Any] = json.loads((played(commands) / "matrix.json").read_text())
    return found


def runs_of(commands: Commands) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(commands.runs.glob("*/report.json"))]
