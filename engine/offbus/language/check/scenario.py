"""From a tree of nodes to a `Scenario`: shape first, then meaning; every finding is noted, and none ends the check.

The order: format version; the header's shape; inputs; steps (shape, type, needs, cycles); conditions and params of each
step; expectations; environment, options, guards. What a broken part would have said is left out of later checks,
so that one mistake makes one finding. Pure but for loading the step types and the environment that are used.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from pydantic import ValidationError

from offbus.findings.codes import Code
from offbus.findings.model import Severity
from offbus.language import shape
from offbus.language.cel import types as celtypes
from offbus.language.cel.expressions import Compiler
from offbus.language.cel.scope import Scope
from offbus.language.cel.types import CelType
from offbus.language.cel.vocabulary import Vocabulary
from offbus.language.check.conditions import Conditions
from offbus.language.check.environment import Settings, read_settings
from offbus.language.check.inputs import Inputs, read_inputs
from offbus.language.check.matrix import read_matrix
from offbus.language.check.pydantic_errors import Subject, note_errors
from offbus.language.check.step_scope import Meaning
from offbus.language.check.steps import Types, arrange, read_steps
from offbus.language.check.stop_when import read_stop_conditions
from offbus.language.format import FORMAT, HeaderModel
from offbus.language.matrix import Cell, Matrix
from offbus.language.scenario import Expectation, Scenario, Step, StopCondition
from offbus.language.syntax.node import Node
from offbus.language.syntax.positions import Positions
from offbus.plugins import Registry
from offbus.step import StepType

__all__ = ["Overrides", "cells", "check"]


class Overrides(NamedTuple):
    """What the command line says: `--set`, `--env`, `--env-set`; and the cell of the matrix."""

    sets: Mapping[str, str]
    env: str | None
    env_sets: Mapping[str, str]
    cell: Cell | None = None


def cells(root: Node, positions: Positions, sets: Mapping[str, str]) -> Matrix | None:
    """The scenario's matrix, without the cells that `sets` rule out; None where it has none, or one that is wrong.

    What is wrong with the matrix is noted, and nothing else.
    """
    if "matrix" not in root.children or not _version(root, Positions(positions.source, [])):
        return None
    header = _header(root, Positions(positions.source, []))
    return read_matrix(root, header, sets, positions)


def check(
    root: Node, positions: Positions, registry: Registry, overrides: Overrides, compiler: Compiler
) -> Scenario | None:
    """The scenario, if nothing is wrong; otherwise all that is wrong has been noted in `positions`.

    `compiler` is shared by the cells of a matrix: their expressions are alike.
    """
    if not _version(root, positions):
        return None
    header = _header(root, positions)
    cell = overrides.cell.inputs if overrides.cell is not None else {}
    inputs = read_inputs(header.inputs, root.children.get("inputs"), overrides.sets, cell, positions)
    types = Types(registry, positions)
    graph = arrange(read_steps(root.children.get("steps"), positions, types), positions)
    conditions = Conditions(positions, compiler, Scope(inputs=inputs.values), inputs.choices)
    meaning = Meaning(graph, inputs, _metrics(types, positions, root), positions, conditions)
    steps = meaning.steps()
    expect = conditions.expectations(root.children.get("expect"), meaning.at_the_end())
    stop_when = read_stop_conditions(root, header, meaning.while_it_runs(), conditions, positions)
    vocabulary = Vocabulary(inputs=inputs.types)
    settings = read_settings(
        root, positions, conditions, vocabulary, registry, overrides.env, overrides.env_sets
    )
    if positions.findings or settings.environment is None:
        return None
    for name in inputs.types.keys() - conditions.used_inputs:
        where = positions.key(root.children["inputs"], name)
        positions.note(
            Code.UNUSED_INPUT, f"the input {name!r} is never used", where, severity=Severity.WARNING
        )
    scenario = _scenario(header, inputs, settings, tuple(filter(None, steps)), expect, stop_when, positions)
    return replace(scenario, cell=overrides.cell)


def _scenario(
    header: HeaderModel,
    inputs: Inputs,
    settings: Settings,
    steps: tuple[Step, ...],
    expect: tuple[Expectation, ...],
    stop_when: tuple[StopCondition, ...],
    positions: Positions,
) -> Scenario:
    if settings.environment is None:
        raise AssertionError("checked by the caller")
    return Scenario(
        name=header.name,
        summary=header.summary,
        format=FORMAT,
        inputs=inputs.values,
        environment=settings.environment,
        env_name=settings.environment.type.name,
        guards=settings.guards,
        timeout=header.timeout,
        undo_timeout=header.undo_timeout,
        steps=steps,
        expect=expect,
        stop_when=stop_when,
        path=positions.source.path,
        digest=positions.source.digest,
        warnings=tuple(positions.warnings),
    )


def _version(root: Node, positions: Positions) -> bool:
    """Whether this is a scenario of our format. Checked first: another one cannot be checked. Its number as a text is a
    finding, and no other format."""
    found = root.children.get("offbus")
    if found is not None and found.value == FORMAT and not isinstance(found.value, bool):
        return True
    if found is None:
        hint = f"begin the file with offbus: {FORMAT}"
        positions.note(
            Code.FORMAT_VERSION,
            "the format version is missing, so this is not a scenario",
            positions.start_of(root),
            hint=hint,
        )
    elif not found.spoiled:
        hint = f"this version of offbus reads offbus: {FORMAT}"
        positions.note(
            Code.FORMAT_VERSION,
            f"the format version {found.value!r} is unknown",
            positions.of(found),
            hint=hint,
            fix=positions.rewritten(found, str(FORMAT)) if found.value == str(FORMAT) else None,
        )
    return found is not None and found.value == str(FORMAT)


_FALLBACK: Mapping[str, Any] = {"offbus": FORMAT, "name": "unnamed", "steps": [None]}
"""Replaces a broken part of the header, so that the rest can be checked."""


def _header(root: Node, positions: Positions) -> HeaderModel:
    try:
        header = HeaderModel.model_validate(root.value)
    except ValidationError as err:
        errors = shape.errors_of(err)
        subject = Subject("the scenario", HeaderModel, positions.start_of(root))
        note_errors(errors, root, positions, subject, lambda error: error["loc"] == ("offbus",))
        bad = {str(error["loc"][0]) for error in errors if error["loc"]}
        good = {key: value for key, value in root.value.items() if key not in bad}
        for part in bad & {"inputs", "matrix"}:
            given = root.value.get(part)
            wrong = {error["loc"][1] for error in errors if error["loc"][:1] == (part,) and error["loc"][1:]}
            named = given.items() if isinstance(given, dict) else ()
            good[part] = {name: item for name, item in named if name not in wrong}
        header = HeaderModel.model_validate({**_FALLBACK, **good})
    for key, value in (("timeout", header.timeout), ("undo_timeout", header.undo_timeout)):
        if not value:
            positions.note(Code.NOT_ALLOWED, f"{key}: it must be longer than 0", positions.value(root, key))
    return header


def _metrics(types: Types, positions: Positions, root: Node) -> Mapping[str, CelType]:
    """The metrics of all step types that are used."""
    declared: dict[str, tuple[CelType, StepType]] = {}
    for step_type in types.used():
        for name, of in step_type.measures().items():
            found = celtypes.NAMED[of.type]
            known, by = declared.setdefault(name, (found, step_type))
            if known != found:
                message = (
                    f"the metric {name!r} is {known} for step type {by.name} and {found} for {step_type.name}"
                )
                positions.note(
                    Code.METRIC_OF_TWO_TYPES,
                    message,
                    positions.key(root, "steps"),
                    hint="this is a mistake of their packages",
                )
    return {name: found for name, (found, _) in declared.items()}
