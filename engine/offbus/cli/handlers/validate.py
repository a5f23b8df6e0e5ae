"""What `offbus validate` does: loads each file and prints what is wrong with it."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click

from offbus import __version__
from offbus.cli.handlers.overrides import Overrides
from offbus.cli.output import say
from offbus.colour import wants_colour
from offbus.errors import UsageError
from offbus.findings.invalid_scenario import InvalidScenario
from offbus.findings.model import Finding
from offbus.findings.render_github import annotations
from offbus.findings.render_sarif import sarif
from offbus.findings.render_text import render
from offbus.printable import printable_json

__all__ = ["check_all", "show_fixes"]


@dataclass(frozen=True, slots=True)
class _Checked:
    """One file."""

    file: str
    valid: bool
    summary: str
    findings: Sequence[Finding] = ()
    fixed: Sequence[Finding] | None = None
    """What --fix has fixed; None without it."""
    facts: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        found = [finding.to_json() for finding in self.findings]
        fixed = {} if self.fixed is None else {"fixed": [finding.to_json() for finding in self.fixed]}
        return {
            "file": self.file,
            "valid": self.valid,
            "message": self.summary,
            **self.facts,
            **fixed,
            "findings": found,
        }


def check_all(files: Sequence[Path], overrides: Overrides, *, form: str, fix: bool = False) -> bool:
    """Print the result for each file, after its certain fixes were made if `fix` says so; whether all are valid."""
    results = []
    colour = wants_colour(sys.stdout, os.environ)
    for file in files:
        result = _fixed_and_checked(file, overrides) if fix else _check(file, overrides)
        results.append(result)
        if form in ("text", "github"):
            for one in result.fixed or ():
                say(f"fixed {one.where}: {one.code}: {one.message}")
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


def show_fixes(files: Sequence[Path], overrides: Overrides) -> bool:
    """Print what the certain fixes would change; whether all files are valid as they are."""
    from offbus.cli.handlers.fix import difference, fixes_of

    valid = True
    for file in files:
        try:
            was, made = fixes_of(file, overrides)
        except UsageError as err:
            say(str(err), err=True)
            valid = False
            continue
        for line in difference(file, was, made):
            say(line)
        valid = _check(file, overrides).valid and valid
    return valid


def _fixed_and_checked(file: Path, overrides: Overrides) -> _Checked:
    """A file that cannot be fixed is one that is not valid."""
    from offbus.cli.handlers.fix import fix_file

    try:
        made = fix_file(file, overrides)
    except UsageError as err:
        return _Checked(str(file), False, f"{err.message}; {err.hint}" if err.hint else err.message, fixed=())
    return replace(_check(file, overrides), fixed=made.findings)


def _check(file: Path, overrides: Overrides) -> _Checked:
    try:
        loaded = overrides.load(file)
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
    return _Checked(str(file), True, summary, loaded.warnings, facts=facts)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
