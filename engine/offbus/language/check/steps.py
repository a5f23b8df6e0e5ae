"""The steps of a file: their shapes, types and order. Each is validated alone, so that one mistake hides no other."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from offbus import dag
from offbus.findings.codes import Code
from offbus.findings.suggest import certain, closest
from offbus.language import shape
from offbus.language.cel import lexer
from offbus.language.check.pydantic_errors import Subject, note_errors
from offbus.language.format import StepModel
from offbus.language.syntax.node import Node
from offbus.language.syntax.positions import Positions
from offbus.plugins import STEPS, PluginError, Registry
from offbus.step import StepType

__all__ = ["Graph", "RawStep", "Types", "arrange", "read_steps"]


MOST_SHOWN = 12
"""Steps of a cycle that a finding names."""


@dataclass(slots=True)
class RawStep:
    """A step as the file has it, as far as it could be read."""

    key: str
    """Its id; something that no id can be, if that is missing, wrong or taken."""
    node: Node
    model: StepModel
    type: StepType | None = None
    needs: tuple[str, ...] = ()
    lacks_needs: bool = False
    """Whether a need was left out that has a finding: what it would have brought is not missed."""


class Types:
    """Step types by name, each looked up once."""

    def __init__(self, registry: Registry, positions: Positions) -> None:
        self._registry, self._positions = registry, positions
        self._known: dict[str, StepType | None] = {}

    def of(self, name: str, step: Node) -> StepType | None:
        """The type that a step uses; None, with a finding, if it cannot be loaded."""
        if name not in self._known:
            self._known[name] = self._load(name, step)
        elif self._known[name] is None and self._registry.plugin(STEPS, name) is None:
            self._unknown(name, step)
        return self._known[name]

    def used(self) -> list[StepType]:
        """All types that were looked up and exist."""
        return [found for found in self._known.values() if found is not None]

    def _load(self, name: str, step: Node) -> StepType | None:
        if self._registry.plugin(STEPS, name) is None:
            self._unknown(name, step)
            return None
        try:
            return self._registry.step_type(name)
        except PluginError as err:
            self._positions.note(
                Code.STEP_TYPE_NOT_LOADED, err.message, self._positions.value(step, "uses"), hint=err.hint
            )
            return None

    def _unknown(self, name: str, step: Node) -> None:
        names = self._registry.names(STEPS)
        hint = "`offbus steps` lists them; another package may provide more"
        self._positions.note(
            Code.UNKNOWN_STEP_TYPE,
            f"there is no step type {name!r}",
            self._positions.value(step, "uses"),
            hint=hint,
            suggestion=closest(name, names),
            fix=self._positions.renamed(step.children["uses"], certain(name, names)),
        )


def read_steps(node: Node | None, positions: Positions, types: Types) -> list[RawStep]:
    """All steps that are mappings, with keys that differ."""
    if node is None or node.kind != "sequence":
        return []
    steps: dict[str, RawStep] = {}
    for index, child in node.children.items():
        if child.kind != "mapping":
            if not child.spoiled:
                positions.note(
                    Code.WRONG_TYPE,
                    "a step must be a mapping",
                    positions.of(child),
                    hint="write - {id: …, uses: …}",
                )
            continue
        step = _read_step(index, child, positions)
        step.key = _checked_id(step.key, child, steps, positions, index)
        if step.model.uses:
            step.type = types.of(step.model.uses, child)
        steps[step.key] = step
    return list(steps.values())


def _read_step(index: int, node: Node, positions: Positions) -> RawStep:
    try:
        model = StepModel.model_validate(node.value)
    except ValidationError as err:
        errors = shape.errors_of(err)
        name = node.value.get("id")
        subject = Subject(
            f"step {name}" if isinstance(name, str) else "the step", StepModel, positions.start_of(node)
        )
        note_errors(errors, node, positions, subject)
        model = _salvage(node.value, {str(error["loc"][0]) for error in errors if error["loc"]})
    key = model.id if node.children.get("id") is not None and model.id else f"(step {index + 1})"
    return RawStep(key, node, model)


def _salvage(value: Mapping[str, Any], bad: set[str]) -> StepModel:
    """The model without its bad keys; id and uses are "" if they are among them."""
    good = {key: item for key, item in value.items() if key not in bad}
    known = StepModel.model_validate({"id": "x", "uses": "x", **good})
    return known.model_copy(update={key: "" for key in ("id", "uses") if key not in good})


def _checked_id(key: str, node: Node, steps: Mapping[str, RawStep], positions: Positions, index: int) -> str:
    if key in lexer.KEYWORDS:
        positions.note(
            Code.BAD_NAME,
            f"a step cannot be called {key!r}: it is a keyword of CEL",
            positions.value(node, "id"),
            hint="choose another id",
        )
    if key in steps:
        line = steps[key].node.start.line + 1
        positions.note(
            Code.REPEATED_STEP,
            f"there is a step {key!r} already, on line {line}",
            positions.value(node, "id"),
            hint="ids are unique",
        )
        return f"{key} (step {index + 1})"
    return key


@dataclass(slots=True)
class Graph:
    """The steps and their order."""

    steps: Mapping[str, RawStep]
    dag: dag.Dag
    background: frozenset[str] = field(default_factory=frozenset)


def arrange(steps: list[RawStep], positions: Positions) -> Graph:
    """Fill in what each step needs, and build the DAG; edges that cannot be are noted and left out.

    The default is the last non-background step above, `always` steps included, so that a plain list is a sequence.
    """
    table = {step.key: step for step in steps}
    above: tuple[str, ...] = ()
    for step in steps:
        step.needs = above if step.model.needs is None else _named(step, table, positions)
        if not step.model.background:
            above = (step.key,)
    background = frozenset(step.key for step in steps if step.model.background)
    while True:
        try:
            return Graph(table, dag.build({key: step.needs for key, step in table.items()}), background)
        except dag.CycleError as err:
            _note_cycle(err.path, table, positions)


def _named(step: RawStep, table: Mapping[str, RawStep], positions: Positions) -> tuple[str, ...]:
    """The steps that `needs` lists."""
    needs: dict[str, None] = {}
    for index, name in enumerate(step.model.needs or ()):
        if name in table:
            needs[name] = None
            continue
        step.lacks_needs = True
        where = positions.of(step.node.children["needs"].children[index])
        positions.note(
            Code.UNKNOWN_NEED,
            f"there is no step {name!r} that step {step.key!r} could need",
            where,
            suggestion=closest(name, table),
        )
    return tuple(needs)


def _note_cycle(path: tuple[str, ...], table: Mapping[str, RawStep], positions: Positions) -> None:
    """Note a cycle at the first of its edges that the file spells out, and cut it there."""
    spelt = [n for n in range(len(path) - 1) if table[path[n]].model.needs is not None]
    at = spelt[0]
    step, need = table[path[at]], path[at + 1]
    listed = step.node.children["needs"].children
    where = next(
        (positions.of(child) for child in listed.values() if child.value == need),
        positions.value(step.node, "needs"),
    )
    shown = path if len(path) <= MOST_SHOWN else (*path[: MOST_SHOWN - 3], "…", *path[-2:])
    said = "it needs itself" if len(path) == 2 else f"steps need each other: {' → '.join(shown)}"
    positions.note(Code.CIRCULAR_NEEDS, said, where, hint="remove one of these needs")
    step.needs = tuple(name for name in step.needs if name != need)
    step.lacks_needs = True
