"""The steps of a file: their shapes and types. Each is validated alone, so that one mistake hides no other."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

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

__all__ = ["RawStep", "Types", "read_steps"]


@dataclass(slots=True)
class RawStep:
    """A step as the file has it, as far as it could be read."""

    key: str
    """Its id in the run; something that no id can be, if that is missing, wrong or taken."""
    local: str
    """Its id in its file: the same without what is put before those of a file that is inlined."""
    node: Node
    model: StepModel
    positions: Positions
    """Of its file."""
    type: StepType | None = None
    needs: tuple[str, ...] = ()
    """Ids in the run."""
    lacks_needs: bool = False
    """Whether a need was left out that has a finding: what it would have brought is not missed."""
    said_by: "RawStep | None" = None
    """Whose `needs` these are, if not its own: the step that inlines its file."""


class Types:
    """Step types by name, each looked up once."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._known: dict[str, StepType | None] = {}

    def of(self, name: str, step: Node, positions: Positions) -> StepType | None:
        """The type that a step uses; None, with a finding, if it cannot be loaded."""
        if name not in self._known:
            self._known[name] = self._load(name, step, positions)
        elif self._known[name] is None and self._registry.plugin(STEPS, name) is None:
            self._unknown(name, step, positions)
        return self._known[name]

    def used(self) -> list[StepType]:
        """All types that were looked up and exist."""
        return [found for found in self._known.values() if found is not None]

    def _load(self, name: str, step: Node, positions: Positions) -> StepType | None:
        if self._registry.plugin(STEPS, name) is None:
            self._unknown(name, step, positions)
            return None
        try:
            return self._registry.step_type(name)
        except PluginError as err:
            positions.note(
                Code.STEP_TYPE_NOT_LOADED, err.message, positions.value(step, "uses"), hint=err.hint
            )
            return None

    def _unknown(self, name: str, step: Node, positions: Positions) -> None:
        names = self._registry.names(STEPS)
        hint = "`offbus steps` lists them; another package may provide more"
        where = positions.value(step, "uses")
        positions.note(
            Code.UNKNOWN_STEP_TYPE,
            f"there is no step type {name!r}",
            where,
            hint=hint,
            suggestion=closest(name, names),
            fix=positions.renamed(step.children["uses"], certain(name, names)),
        )


def read_steps(node: Node | None, positions: Positions, types: Types, prefix: str = "") -> dict[str, RawStep]:
    """All steps that are mappings, by keys that differ; `prefix` is put before their ids in the run."""
    if node is None or node.kind != "sequence":
        return {}
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
        step.local = _checked_id(step.local, child, steps, positions, index)
        step.key = prefix + step.local
        if step.model.uses:
            step.type = types.of(step.model.uses, child, positions)
        steps[step.local] = step
    return steps


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
    return RawStep(key, key, node, model, positions)


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
