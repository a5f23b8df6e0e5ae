"""The inputs of a file that is inlined: what the step gives that inlines it, else their defaults.

A value that is known at load is checked as one of `--inputs` is. One that waits for the run (`${{ steps… }}`) has to be
of the input's type; whether an input lists it (`enum`) is asked when an expression uses it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from offbus.findings.codes import Code
from offbus.language.cel import types as celtypes
from offbus.language.cel.expressions import EvaluationError
from offbus.language.cel.scope import Scope
from offbus.language.cel.templates import Template
from offbus.language.cel.vocabulary import GivenInput, Vocabulary
from offbus.language.check.conditions import Conditions
from offbus.language.check.given import Given, GivenInputs
from offbus.language.check.inputs import Inputs, read_inputs
from offbus.language.check.parts import Part
from offbus.language.check.steps import RawStep
from offbus.language.syntax.node import Node

__all__ = ["read_inlined_inputs"]


def read_inlined_inputs(
    step: RawStep, inner: Part, conditions: Conditions, before: Vocabulary
) -> tuple[Inputs, Mapping[str, GivenInput]]:
    """The inputs of the file that a step inlines; `conditions` and `before` are those of the step's own file."""
    node = step.node.children["with"].children.get("inputs")
    data: Any = {} if node is None else conditions.data(node, before)
    given = {} if node is None or not isinstance(data, dict) else _given(step, node, data)
    missing = step.positions, step.positions.value(step.node, "with"), str(inner.positions.source.path)
    by_name = GivenInputs(given, missing=missing)
    inputs = read_inputs(inner.header.inputs, inner.root.children.get("inputs"), by_name, {}, inner.positions)
    bound = {name: GivenInput(_always(value), known=True) for name, value in inputs.values.items()}
    for name, one in given.items():
        if isinstance(one.value, Template) and name in inputs.types and node is not None:
            found, wanted = one.value.type, inputs.types[name]
            if found in (wanted, celtypes.DYN) or wanted == celtypes.DYN:
                bound[name] = GivenInput(_one_of(name, one.value, inputs.choices.get(name)), known=False)
                continue
            message = f"the input {name!r} is {wanted}, and this is {found}"
            step.positions.note(Code.UNSUITABLE_TYPE, message, one.where, hint=f"convert it: {wanted}(…)")
    return inputs, bound


def _given(step: RawStep, node: Node, data: Mapping[str, Any]) -> dict[str, Given]:
    positions = step.positions
    return {
        name: Given(
            data[name],
            positions.of(child),
            positions.key(node, name),
            is_text=False,
            frame=positions.source.lines[child.start.line],
            waits=child.spoiled or isinstance(data[name], Template),
        )
        for name, child in node.children.items()
    }


def _always(value: Any) -> Callable[[Scope], Any]:
    return lambda _: value


def _one_of(name: str, template: Template, allowed: Sequence[Any] | None) -> Callable[[Scope], Any]:
    """What tells the value while the run goes on. It raises EvaluationError where the input does not list it."""

    def value(scope: Scope) -> Any:
        found = template.value(scope)
        if allowed is not None and found not in allowed:
            listed = ", ".join(map(str, allowed))
            raise EvaluationError(f"the input {name} is {found!r}, which is not one of {listed}"[:500])
        return found

    return value
