"""What a run of a scenario would do, from the scenario alone: order, bounds, defaults, who undoes what."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from offbus import dag
from offbus.cleanup import CleanupParams
from offbus.durations import format_duration
from offbus.language.cel.templates import Template
from offbus.language.matrix import shown
from offbus.language.scenario import Scenario, Step
from offbus.step import Kind

__all__ = ["Plan", "PlannedStep", "known_params", "make_plan"]


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """A step as it would run."""

    step: Step
    latest_end: timedelta
    """The latest moment, from the start, at which it must have ended if every step before it takes all its time."""
    undone_by: tuple[str, ...]
    """Cleanup steps that undo it before the end."""
    touches: tuple[str, ...]
    """What it would change, inject or send, in words, as its type tells."""

    @property
    def bindings(self) -> Mapping[str, str]:
        """Params that come from ancestors: param -> step."""
        return {binding.key: binding.step for binding in self.step.params.bindings}

    @property
    def undo(self) -> str:
        """When its changes are undone, in words."""
        if isinstance(self.step.params.static, CleanupParams):
            return f"undoes {', '.join(self.step.params.static.steps)}"
        if self.step.type.kind is Kind.OBSERVATION:
            return "changes nothing"
        return (
            f"undone by {', '.join(self.undone_by)}, else at the end"
            if self.undone_by
            else "undone at the end"
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole run."""

    scenario: Scenario
    steps: tuple[PlannedStep, ...]
    """In plan order."""
    longest: timedelta
    """Bound of the steps: `timeout`, or less if all steps' timeouts together cannot reach it."""
    critical: tuple[str, ...]
    """The steps one after another whose timeouts make the latest end: what to shorten first."""

    @property
    def bound(self) -> timedelta:
        """Bound of the run, undo included."""
        return self.longest + self.scenario.undo_timeout

    def to_json(self) -> dict[str, Any]:
        """As `offbus plan --format json` prints it; keys are stable."""
        scenario = self.scenario
        return {
            "scenario": scenario.name,
            "cell": None if scenario.cell is None else scenario.cell.id,
            "summary": scenario.summary,
            "digest": scenario.digest,
            "inputs": {name: shown(value) for name, value in scenario.inputs.items()},
            "environment": {
                "uses": scenario.env_name,
                **scenario.environment.options.model_dump(mode="json"),
            },
            "guards": scenario.guards.model_dump(mode="json") if scenario.guards is not None else None,
            "timeout": format_duration(scenario.timeout),
            "undo_timeout": format_duration(scenario.undo_timeout),
            "bound": format_duration(self.bound),
            "critical_path": list(self.critical),
            "steps": [_step_json(planned) for planned in self.steps],
            "expect": [expectation.text for expectation in scenario.expect],
        }


def _step_json(planned: PlannedStep) -> dict[str, Any]:
    step = planned.step
    return {
        "id": step.id,
        "uses": step.uses,
        "kind": step.type.kind.value,
        "needs": list(step.needs),
        "background": step.background,
        "always": step.always,
        "keep_going": step.keep_going,
        "when": None if step.when is None else step.when.text,
        "timeout": format_duration(step.timeout),
        "attempts": step.retry.attempts,
        "params": None
        if step.params.static is None
        else step.params.static.model_dump(mode="json", by_alias=True, exclude_unset=True),
        "bindings": dict(planned.bindings),
        "touches": list(planned.touches),
        "undo": planned.undo,
        "expect": [expectation.text for expectation in step.expect],
    }


def make_plan(scenario: Scenario) -> Plan:
    """The plan of a scenario."""
    graph = dag.build({step.id: step.needs for step in scenario.steps})
    steps = {step.id: step for step in scenario.steps}
    undone_by = _cleanups(scenario)
    ends: dict[str, timedelta] = {}
    for name in graph.order:
        begins = max((ends[need] for need in graph.needs[name]), default=timedelta(0))
        ends[name] = begins + steps[name].timeout
    planned = tuple(
        PlannedStep(
            steps[name], ends[name], undone_by.get(name, ()), touched_by(steps[name], scenario.path.parent)
        )
        for name in graph.order
    )
    # a background step is stopped once the others have ended, so its own timeout makes no run longer
    waited_for = [name for name in graph.order if not steps[name].background] or list(graph.order)
    critical = _critical(max(waited_for, key=lambda name: ends[name]), graph.needs, ends)
    return Plan(scenario, planned, min(scenario.timeout, max(ends.values())), critical)


def _critical(
    last: str, needs: Mapping[str, Collection[str]], ends: Mapping[str, timedelta]
) -> tuple[str, ...]:
    """From the step that ends last back to the need that it waits for longest, and so on. The first of equals."""
    path = [last]
    while waited := sorted(needs[path[-1]]):
        path.append(max(waited, key=lambda name: ends[name]))
    return tuple(reversed(path))


def known_params(step: Step) -> Mapping[str, Any]:
    """Those of a step's params that are known before the run, with the defaults of what is not given.

    What waits for a step, whole or in a part, is missing: it is not known yet.
    """
    given = step.params.data
    defaults = {
        field.alias or name: field.get_default(call_default_factory=True)
        for name, field in step.type.params.model_fields.items()
        if not field.is_required()
    }
    bound = {binding.key for binding in step.params.bindings}
    known = {key: value for key, value in given.items() if not _waits(value)}
    return {key: value for key, value in defaults.items() if key not in bound and key not in given} | known


def touched_by(step: Step, folder: Path) -> tuple[str, ...]:
    """What a step would touch, as its type tells. Raises CouldNotRun when that cannot be loaded."""
    touches = step.type.load_touches()
    return tuple(touches(known_params(step), folder)) if touches is not None else ()


def _waits(value: Any) -> bool:
    if isinstance(value, Template):
        return True
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(_waits(one) for one in inner)


def _cleanups(scenario: Scenario) -> Mapping[str, tuple[str, ...]]:
    """step -> the cleanup steps that name it."""
    found: dict[str, tuple[str, ...]] = {}
    for step in scenario.steps:
        if isinstance(step.params.static, CleanupParams):
            for name in step.params.static.steps:
                found[name] = (*found.get(name, ()), step.id)
    return found
