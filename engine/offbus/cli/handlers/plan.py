"""A plan as text for a terminal."""

from collections.abc import Iterator
from typing import Any

from offbus.durations import format_duration
from offbus.language.plan import Plan, PlannedStep
from offbus.printable import printable

__all__ = ["plan_text"]


def plan_text(plan: Plan) -> str:
    """The whole plan."""
    return "\n".join(map(printable, _lines(plan)))


def _lines(plan: Plan) -> Iterator[str]:
    scenario = plan.scenario
    yield f"{scenario.name}: {scenario.summary}" if scenario.summary else scenario.name
    yield f"  environment  {scenario.env_name}{_values(scenario.environment.options.model_dump(mode='json'))}"
    if scenario.guards is not None:
        yield f"  guards      {_values(scenario.guards.model_dump(mode='json')) or ' none'}"
    if scenario.inputs:
        yield f"  inputs      {_values(dict(scenario.inputs))}"
    steps, undo = format_duration(plan.longest), format_duration(scenario.undo_timeout)
    yield f"  ends within  {format_duration(plan.bound)} (steps {steps}, undo {undo})"
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
