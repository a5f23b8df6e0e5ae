"""What `offbus validate` does: loads each file and prints what is wrong with it."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from offbus import __version__
from offbus.cli.output import say
from offbus.errors import UsageError
from offbus.findings.invalid_scenario import InvalidScenario
from offbus.findings.model import Finding
from offbus.findings.render_github import annotations
from offbus.findings.render_sarif import sarif
from offbus.findings.render_text import render, wants_colour
from offbus.language.load import load_cells
from offbus.printable import printable_json

__all__ = ["check_all"]


@dataclass(frozen=True, slots=True)
class _Checked:
    """One file."""

    file: str
    valid: bool
    summary: str
    findings: Sequence[Finding] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        found = [finding.to_json() for finding in self.findings]
        return {
            "file": self.file,
            "valid": self.valid,
            "message": self.summary,
            **self.facts,
            "findings": found,
        }


def check_all(
    files: Sequence[Path],
    *,
    sets: Mapping[str, str],
    inputs: Path | None = None,
    env: str | None,
    env_sets: Mapping[str, str],
    form: str,
) -> bool:
    """Print the result for each file; whether all are valid."""
    results = []
    colour = wants_colour(sys.stdout, os.environ)
    for file in files:
        result = _check(file, sets, inputs, env, env_sets)
        results.append(result)
        if form in ("text", "github"):
            if result.findings:
                click.echo(render(result.findings, colour=colour), color=colour)
            say(result.summary)
    if form == "github":
        for line in annotations(finding for result in results for finding in result.findings):
            click.echo(line)
    if form == "sarif":
        document = sarif({result.file: result.findings for result in results}, __version__)
        click.echo(printable_json(json.dumps(document, indent=2)))
    if form == "json":
        click.echo(printable_json(json.dumps([result.to_json() for result in results], indent=2)))
    return all(result.valid for result in results)


def _check(
    file: Path,
    sets: Mapping[str, str],
    inputs: Path | None,
    env: str | None,
    env_sets: Mapping[str, str],
) -> _Checked:
    try:
        loaded = load_cells(file, sets=sets, inputs=inputs, env=env, env_sets=env_sets)
    except InvalidScenario as err:
        return _Checked(str(file), False, err.summary, err.findings)
    except UsageError as err:
        return _Checked(str(file), False, str(err))
    scenario = loaded.scenarios[0]
    facts: dict[str, Any] = {
        "name": scenario.name,
        "steps": len(scenario.steps),
        "environment": scenario.env_name,
    }
    summary = f"ok: {scenario.name}, {_counted(len(scenario.steps), 'step')}"
    if loaded.matrix is not None:
        facts["cells"] = [one.id for one in loaded.matrix.cells]
        summary += f", {_counted(len(loaded.matrix.cells), 'cell')}"
    warnings = tuple(dict.fromkeys(warning for one in loaded.scenarios for warning in one.warnings))
    return _Checked(str(file), True, summary, warnings, facts)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
