"""Which names an expression may use at its position, and what is wrong with one that it may not.

`inputs.NAME`, `outputs.PATH` (in a step's own `expect`), `steps.ID.outputs.PATH` and `steps.ID.outcome` of ancestors,
`metrics.NAME` of the step types that are used. A `Bound` is a name that was found; it fetches its value from a `Scope`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel

from offbus.findings.codes import Code
from offbus.findings.suggest import closest
from offbus.language.cel import types
from offbus.language.cel.scope import Scope
from offbus.language.cel.types import CelType
from offbus.step import Outputs

__all__ = ["ROOTS", "Bound", "Exported", "GivenInput", "Unknown", "UnsetError", "Vocabulary"]

ROOTS = ("inputs", "outputs", "steps", "metrics")


class UnsetError(LookupError):
    """Raised when a name has no value now; the message says which and why."""


class Bound(NamedTuple):
    """A declared name."""

    path: str
    """As the expression spells it: "steps.corrupt.outputs.lost"."""
    type: CelType
    root: Literal["inputs", "outputs", "steps", "metrics", "variable"]
    step: str = ""
    rest: str = ""
    """The name below the root: an input's or metric's name, "outcome", or the outputs' path."""
    given: "Callable[[Scope], Any] | None" = None
    """Of an input of a file that is inlined: what tells its value."""

    def fetch(self, scope: Scope) -> Any:
        """Its value. Raises UnsetError, or what an expression raises that gives it."""
        if self.given is not None:
            return self.given(scope)
        if self.root == "inputs":
            return self._from(scope.inputs)
        if self.root == "metrics":
            return self._from(scope.metrics, "was not measured")
        if self.root == "outputs":
            return self._walk(scope.outputs, "the step has no outputs")
        state = scope.steps.get(self.step)
        if state is None:
            raise UnsetError(f"{self.path} has no value: step {self.step} has not ended")
        if self.rest == "outcome":
            return str(state.outcome)
        return self._walk(state.outputs, f"step {self.step} is {state.outcome} and has no outputs")

    def _from(self, values: Mapping[str, Any], why: str = "was not set") -> Any:
        value = values.get(self.rest)
        if value is None:
            raise UnsetError(f"{self.path} {why}")
        return value

    def _walk(self, outputs: BaseModel | None, why_none: str) -> Any:
        if outputs is None:
            raise UnsetError(f"{self.path} has no value: {why_none}")
        value: Any = outputs
        for name in self.rest.split("."):
            value = getattr(value, name)
            if value is None:
                raise UnsetError(f"{self.path} was not set")
        return value


class GivenInput(NamedTuple):
    """The value of an input of a file that is inlined."""

    value: Callable[[Scope], Any]
    known: bool
    """Whether it is known before the run."""


class Exported(NamedTuple):
    """An output of a file that is inlined: which of its steps' it is."""

    step: str
    """Its id in the run."""
    path: tuple[str, ...]
    model: type[Outputs] | None
    """That step's outputs; None if they are not known."""


class Unknown(NamedTuple):
    """A name that may not be used here."""

    code: Code
    message: str
    hint: str | None = None
    suggestion: str | None = None


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The names that one expression may use."""

    inputs: Mapping[str, CelType] = field(default_factory=dict)
    metrics: Mapping[str, CelType] = field(default_factory=dict)
    steps: Mapping[str, type[Outputs] | None] = field(default_factory=dict)
    """Every step of the file; None if its type is not known."""
    reachable: Callable[[str], Unknown | None] | None = None
    """Says why a step's outputs may not be used here; None if no step's may."""
    outputs: type[Outputs] | None = None
    """The step's own."""
    open_metrics: bool = False
    """Whether other metrics may exist: a step type could not be loaded."""
    variables: Mapping[str, CelType] = field(default_factory=dict)
    """Names of a param that is an expression itself."""
    prefix: str = ""
    """Before the ids of the file's steps in the run, where the file is inlined."""
    given: Mapping[str, GivenInput] = field(default_factory=dict)
    """The file's inputs, where it is inlined."""
    inlined: Mapping[str, Mapping[str, Exported]] = field(default_factory=dict)
    """Of each of `steps` that inlines a file the file's outputs."""

    def find(self, parts: tuple[str, ...]) -> "Bound | Unknown | None":
        """What a dotted name is; None if it is no name of ours: a comprehension's variable, or CEL's business."""
        variable = _longest(parts, self.variables)
        if variable:
            return Bound(variable, self.variables[variable], "variable", rest=variable)
        root = parts[0]
        if root not in ROOTS or (self.variables and not self.inputs):
            if not self.variables or len(parts) == 1:
                return None
            return _unknown(".".join(parts), self.variables, "names")
        if root == "steps":
            return self._step(parts)
        if root == "outputs":
            if self.outputs is None:
                message = "outputs can be used only in a step's own `expect`"
                return Unknown(Code.UNKNOWN_NAME, message, "write steps.ID.outputs.NAME")
            return self._output("outputs", parts[1:], self.outputs, "")
        table = self.inputs if root == "inputs" else self.metrics
        name = _longest(parts[1:], table)
        if name and root == "inputs":
            return self._input(name)
        if name:
            return Bound(f"{root}.{name}", table[name], "metrics", rest=name)
        if root == "metrics" and self.open_metrics and len(parts) > 1:
            return Bound(".".join(parts), types.DYN, "metrics", rest=".".join(parts[1:]))
        return _unknown(".".join(parts), (f"{root}.{known}" for known in table), root)

    def _input(self, name: str) -> Bound:
        path, of = f"inputs.{name}", self.inputs[name]
        if name not in self.given:
            return Bound(path, of, "inputs", rest=name)
        value, known = self.given[name]
        return Bound(path, of, "inputs" if known else "steps", rest=name, given=value)

    def _step(self, parts: tuple[str, ...]) -> "Bound | Unknown":
        if self.reachable is None:
            return Unknown(
                Code.UNKNOWN_NAME, "steps cannot be used here: no step has run yet", "use inputs.NAME"
            )
        if len(parts) < 3 or parts[2] not in ("outputs", "outcome"):
            known = closest(parts[1], self.steps) if len(parts) > 1 and parts[1] not in self.steps else None
            hint = "write steps.ID.outputs.NAME or steps.ID.outcome"
            suggestion = None if known is None else f"steps.{known}"
            return Unknown(Code.UNKNOWN_NAME, f"{'.'.join(parts)} is not a value", hint, suggestion)
        step, what = parts[1], parts[2]
        if step not in self.steps:
            known = closest(step, self.steps)
            suggestion = None if known is None else ".".join(("steps", known, *parts[2:]))
            return Unknown(Code.UNKNOWN_NAME, f"there is no step {step!r}", suggestion=suggestion)
        if step in self.inlined:
            return self._exported(step, what, parts[3:], self.reachable)
        key = self.prefix + step
        refused = self.reachable(key)
        if refused is not None:
            return refused
        if what == "outcome":
            return Bound(f"steps.{step}.outcome", types.STRING, "steps", key, "outcome")
        return self._output(f"steps.{step}.outputs", parts[3:], self.steps[step], key)

    def _exported(
        self, step: str, what: str, rest: tuple[str, ...], reachable: Callable[[str], Unknown | None]
    ) -> "Bound | Unknown":
        """An output of a file that is inlined, under the name by which it lists it."""
        prefix, table = f"steps.{step}.outputs", self.inlined[step]
        if what == "outcome":
            message = f"step {step!r} inlines a file and has no outcome of its own"
            return Unknown(Code.UNKNOWN_NAME, message, f"write {prefix}.NAME")
        if not rest or rest[0] not in table:
            spelt = ".".join((prefix, *rest))
            return _unknown(spelt, (f"{prefix}.{known}" for known in table), "outputs")
        is_from = table[rest[0]]
        refused = reachable(is_from.step)
        if refused is not None:
            return refused
        found = self._output(prefix, (*is_from.path, *rest[1:]), is_from.model, is_from.step)
        if isinstance(found, Unknown):
            return found._replace(suggestion=None)
        more = found.rest.split(".")[len(is_from.path) :]
        return found._replace(path=".".join((prefix, rest[0], *more)))

    def _output(
        self, prefix: str, rest: tuple[str, ...], model: type[Outputs] | None, step: str
    ) -> "Bound | Unknown":
        root: Literal["steps", "outputs"] = "steps" if step else "outputs"
        if model is None:
            return Bound(f"{prefix}.{'.'.join(rest)}", types.DYN, root, step, ".".join(rest))
        table = types.flatten(model)
        name = _longest(rest, table)
        if name and (table[name] is not types.MODEL or len(name.split(".")) == len(rest)):
            return Bound(f"{prefix}.{name}", table[name], root, step, name)
        return _unknown(".".join((prefix, *rest)), (f"{prefix}.{known}" for known in table), "outputs")


def _longest(parts: tuple[str, ...], table: Mapping[str, Any]) -> str:
    """The longest beginning of `parts` that `table` has; "" if none."""
    for length in range(len(parts), 0, -1):
        name = ".".join(parts[:length])
        if name in table:
            return name
    return ""


def _unknown(path: str, known: Iterable[str], what: str) -> Unknown:
    names = sorted(known)
    listed = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
    hint = f"known {what}: {listed}" if names else f"there are no {what} here"
    return Unknown(Code.UNKNOWN_NAME, f"there is no {path!r}", hint, closest(path, names))
