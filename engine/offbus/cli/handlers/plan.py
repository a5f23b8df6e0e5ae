"""What `offbus plan` prints: the plan of a scenario, or of each cell of its matrix, with its preflight checks."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from offbus.cli.handlers.plan_graph import GRAPHS
from offbus.cli.handlers.preflight import checks_json, checks_text, exit_of, preflight
from offbus.cli.output import say
from offbus.cli.problems import print_warnings
from offbus.durations import format_duration
from offbus.exits import Exit, worst
from offbus.language.load import load_cells
from offbus.language.matrix import shown
from offbus.language.plan import Plan, PlannedStep, make_plan
from offbus.printable import printable, printable_json

__all__ = ["plan_cells", "plan_text"]


def plan_cells(
    file: Path,
    *,
    sets: Mapping[str, str],
    inputs: Path | None = None,
    env: str | None,
    env_sets: Mapping[str, str],
    cell: str | None,
    form: str,
    offline: bool,
) -> Exit:
    """Print the plans; 3 when a run of one would be refused. Raises OffbusError."""
    loaded = load_cells(file, sets=sets, inputs=inputs, env=env, env_sets=env_sets, cell=cell)
    print_warnings(loaded.warnings)
    codes: list[Exit] = []
    found: list[dict[str, Any]] = []
    for number, scenario in enumerate(loaded.scenarios, 1):
        made = make_plan(scenario)
        if form == "text":
            if loaded.matrix is not None and cell is None:
                if number > 1:
                    say("")
                say(f"cell {number} of {len(loaded.scenarios)}")
            click.echo(plan_text(made))
        if form in GRAPHS:
            click.echo(GRAPHS[form](made))
        checks = None if offline or form in GRAPHS else preflight(made)
        if form == "text" and checks is not None:
            click.echo(f"\non {made.scenario.env_name} now:\n{checks_text(checks)}")
        found.append({**made.to_json(), **({} if checks is None else {"preflight": checks_json(checks)})})
        codes.append(exit_of(checks or ()))
    if form == "json":
        whole = found[0] if loaded.matrix is None or cell is not None else {"cells": found}
        click.echo(printable_json(json.dumps(whole, indent=2)))
    return worst(*codes)


def plan_text(plan: Plan) -> str:
    """The whole plan."""
    return "\n".join(map(printable, _lines(plan)))


def _lines(plan: Plan) -> Iterator[str]:
    scenario = plan.scenario
    yield f"{scenario.title}: {scenario.summary}" if scenario.summary else scenario.title
    yield f"  environment  {scenario.env_name}{_values(scenario.environment.options.model_dump(mode='json'))}"
    if scenario.guards is not None:
        yield f"  guards      {_values(scenario.guards.model_dump(mode='json')) or ' none'}"
    if scenario.inputs:
        yield f"  inputs      {_values({name: shown(value) for name, value in scenario.inputs.items()})}"
    steps, undo = format_duration(plan.longest), format_duration(scenario.undo_timeout)
    yield f"  ends within  {format_duration(plan.bound)} (steps {steps}, undo {undo})"
    yield f"  critical     {' → '.join(plan.critical)}"
    yield ""
    width = max(len(planned.step.id) for planned in plan.steps)
    kinds = max(len(planned.step.uses) for planned in plan.steps)
    for number, planned in enumerate(plan.steps, 1):
        yield from _step(number, planned, width, kinds)
    for expectation in scenario.expect:
        yield f"  expect: {expectation.text}"


def _values(values: dict[str, Any]) -> str:
    return "".join(f" {key}={value}" for key, value in values.items() if value not in (None, "", [], {}))


def _step(number: int, planned: PlannedStep, width: int, kinds: int) -> Iterator[str]:
    step = planned.step
    marks = [
        mark
        for mark, on in (
            ("background", step.background),
            ("always", step.always),
            ("keep_going", step.keep_going),
        )
        if on
    ]
    attempts = f", {step.retry.attempts} attempts" if step.retry.attempts > 1 else ""
    after = f"after {', '.join(step.needs)}" if step.needs else "at once"
    timing = f"{after}; at most {format_duration(step.timeout)}{attempts}"
    yield f"{number:3}. {step.id:{width}}  {step.uses:{kinds}}  {timing}{''.join(f'; {mark}' for mark in marks)}"
    indent = " " * (7 + width)
    for param, source in planned.bindings.items():
        yield f"{indent}{param} ← {source}"
    if step.when is not None:
        yield f"{indent}when: {step.when.text}"
    for expectation in step.expect:
        yield f"{indent}expect: {expectation.text}"
    yield from (f"{indent}{one}" for one in planned.touches)
    yield f"{indent}{planned.undo}"
