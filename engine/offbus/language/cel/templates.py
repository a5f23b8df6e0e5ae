"""`${{ expression }}` inside params: found and compiled at load, filled in when a step starts.

A text that is one expression and nothing else becomes its typed value; expressions inside a longer text become text.
What uses inputs alone is filled in at load. A literal `${{` is written `${{ "${{" }}`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple, cast

from pydantic import BaseModel, ValidationError

from offbus.durations import format_duration
from offbus.errors import StepError
from offbus.language import shape
from offbus.language.cel import types
from offbus.language.cel.expressions import EvaluationError, Expression
from offbus.language.cel.growth import MOST
from offbus.language.cel.scope import Scope
from offbus.language.cel.types import CelType
from offbus.language.cel.vocabulary import Bound, UnsetError
from offbus.language.syntax import braces
from offbus.step import Params

__all__ = ["Binding", "ParamsTemplate", "Piece", "Template", "fill", "pieces", "waits"]


class Piece(NamedTuple):
    """A part of a text: literal, or an expression; `closed` is False for a `${{` without its `}}`."""

    text: str
    start: int
    is_expression: bool = False
    closed: bool = True


def pieces(text: str) -> Iterator[Piece]:
    """The literals and expressions of a text, in order; empty literals are left out."""
    at = 0
    while (start := text.find(braces.OPEN, at)) >= 0:
        if start > at:
            yield Piece(text[at:start], at)
        end = braces.end_of(text, start)
        if end < 0:
            yield Piece(text[start:], start, is_expression=True, closed=False)
            return
        yield Piece(
            text[start + len(braces.OPEN) : end - len(braces.CLOSE)],
            start + len(braces.OPEN),
            is_expression=True,
        )
        at = end
    if at < len(text):
        yield Piece(text[at:], at)


@dataclass(frozen=True, slots=True)
class Template:
    """A text with expressions in it."""

    parts: tuple[str | Expression, ...]

    @property
    def type(self) -> CelType:
        """The type of its value."""
        only = self.parts[0]
        return only.type if len(self.parts) == 1 and isinstance(only, Expression) else types.STRING

    @property
    def only_inputs(self) -> bool:
        """Whether its value is known before the run."""
        return all(isinstance(part, str) or part.only_inputs for part in self.parts)

    def value(self, scope: Scope) -> Any:
        """Its value. Raises EvaluationError."""
        only = self.parts[0]
        if len(self.parts) == 1 and isinstance(only, Expression):
            return only.value(scope)
        said: list[str] = []
        length = 0
        for part in self.parts:
            said.append(part if isinstance(part, str) else _text(part, scope))
            length += len(said[-1])
            if length > MOST:
                raise EvaluationError(f"a text of more than {MOST} characters is made of expressions")
        return "".join(said)


def _text(expression: Expression, scope: Scope) -> str:
    """An expression's value inside a text."""
    value = expression.value(scope)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, timedelta):
        return format_duration(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str | int | float):
        return str(value)
    raise EvaluationError(f"is {type(value).__name__}, which cannot be put into a text", expression.text)


def fill(data: Any, scope: Scope) -> Any:
    """`data` with each `Template` in it replaced by its value. Raises EvaluationError."""
    if isinstance(data, Template):
        return data.value(scope)
    if isinstance(data, dict):
        return {key: fill(value, scope) for key, value in data.items()}
    if isinstance(data, list):
        return [fill(item, scope) for item in data]
    return data


def waits(data: Any) -> bool:
    """Whether a `Template` is in it: a value that is not there yet."""
    if isinstance(data, dict):
        return any(map(waits, data.values()))
    return any(map(waits, data)) if isinstance(data, list) else isinstance(data, Template)


class Binding(NamedTuple):
    """A param that the scenario leaves out, and which takes an ancestor's output (`offbus.step.FromAncestor`)."""

    key: str
    step: str
    output: str
    optional: bool

    def fetch(self, scope: Scope) -> Any:
        """The output. Raises UnsetError."""
        path = f"steps.{self.step}.outputs.{self.output}"
        return Bound(path, types.DYN, "steps", self.step, self.output).fetch(scope)


@dataclass(frozen=True, slots=True)
class ParamsTemplate:
    """A step's params: validated already (`static`), or once the values that they wait for are there."""

    model: type[Params]
    static: Params | None
    """The params, if nothing in them waits for the run."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """As the file has them, with a `Template` for each text that waits for the run."""
    bindings: tuple[Binding, ...] = ()

    def resolve(self, scope: Scope) -> Params:
        """The params, validated. Raises StepError if a value is missing or does not fit."""
        if self.static is not None:
            return self.static
        try:
            data = cast("dict[str, Any]", fill(self.data, scope))
            for binding in self.bindings:
                self._bind(data, binding, scope)
        except (EvaluationError, UnsetError) as err:
            raise StepError(f"params: {err}") from err
        try:
            return shape.apply(self.model, data)
        except ValidationError as err:
            each = (
                f"{'.'.join(map(str, e['loc']))}: {e['msg']} (it is {e['input']!r})"[:300]
                for e in shape.errors_of(err)
            )
            raise StepError(f"params do not fit: {'; '.join(each)}") from err

    def _bind(self, data: dict[str, Any], binding: Binding, scope: Scope) -> None:
        try:
            value = binding.fetch(scope)
        except UnsetError:
            if not binding.optional:
                raise
            return
        data[binding.key] = (
            value.model_dump(mode="json", by_alias=True) if isinstance(value, BaseModel) else value
        )
