"""From a tree of nodes to a `Scenario`: shape first, then meaning; every finding is noted, and none ends the check.

The order: format version; the header's shape; inputs; steps (shape, type, needs, cycles); conditions and params of each
step; expectations; environment, options, guards. What a broken part would have said is left out of later checks,
so that one mistake makes one finding. Pure but for loading the step types and the environment that are used.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from offbus.findings.codes import Code
from offbus.language.cel import types as celtypes
from offbus.language.cel.expressions import Compiler
from offbus.language.cel.growth import Budget
from offbus.language.cel.scope import Scope
from offbus.language.cel.types import CelType
from offbus.language.cel.vocabulary import Vocabulary
from offbus.language.check.conditions import Conditions
from offbus.language.check.environment import Settings, read_settings
from offbus.language.check.given import GivenInputs
from offbus.language.check.graph import arrange
from offbus.language.check.header import is_our_format, read_header
from offbus.language.check.inputs import Inputs, read_inputs
from offbus.language.check.matrix import read_matrix
from offbus.language.check.omitted_params import Bindings
from offbus.language.check.parts import Files, read_parts
from offbus.language.check.step_scope import Meaning, Shared, exported
from offbus.language.check.steps import Types
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
    """What is said outside of the file: values of inputs, `--env`, `--env-set`; and the cell of the matrix."""

    given: GivenInputs
    env: str | None
    env_sets: Mapping[str, str]
    cell: Cell | None = None


def cells(root: Node, positions: Positions, given: GivenInputs) -> Matrix | None:
    """The scenario's matrix, without the cells that `given` rules out; None where it has none, or one that is wrong.

    What is wrong with the matrix is noted, and nothing else.
    """
    if "matrix" not in root.children or not is_our_format(root, Positions(positions.source, [])):
        return None
    header = read_header(root, Positions(positions.source, []))
    return read_matrix(root, header, given, positions)


def check(
    root: Node,
    positions: Positions,
    registry: Registry,
    overrides: Overrides,
    compiler: Compiler,
    files: Files,
    budget: Budget,
) -> Scenario | None:
    """The scenario, if nothing is wrong; otherwise all that is wrong has been noted in `positions`.

    `compiler` and `files` are shared by the cells of a matrix: their expressions are alike, and what they inline; so is
    `budget`: the values of all cells are kept.
    """
    if not is_our_format(root, positions):
        return None
    header = read_header(root, positions)
    cell = overrides.cell.inputs if overrides.cell is not None else {}
    inputs = read_inputs(header.inputs, root.children.get("inputs"), overrides.given, cell, positions)
    types = Types(registry)
    files.named.clear()
    whole = read_parts(root, positions, header, types, files)
    graph = arrange(whole)
    conditions = Conditions(positions, compiler, Scope(inputs=inputs.values, budget=budget), inputs.choices)
    shared = Shared(graph, _metrics(types, positions, root), Bindings(graph), files)
    exported(whole)
    meaning = Meaning(whole, shared, inputs, conditions)
    steps = list(meaning.steps())
    expect = tuple(meaning.expectations())
    stop_when = read_stop_conditions(root, header, meaning.while_it_runs(), conditions, positions)
    vocabulary = Vocabulary(inputs=inputs.types)
    settings = read_settings(
        root, positions, conditions, vocabulary, registry, overrides.env, overrides.env_sets
    )
    if positions.findings or settings.environment is None:
        return None
    meaning.note_unused()
    scenario = _scenario(header, inputs, settings, tuple(filter(None, steps)), expect, stop_when, positions)
    read = files.read_by_steps() if overrides.cell is not None else ""
    return replace(scenario, cell=overrides.cell, digest=files.digest(scenario.digest), files=read)


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
        secrets=inputs.secrets,
        path=positions.source.path,
        digest=positions.source.digest,
        warnings=tuple(positions.warnings),
    )


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
