"""A step type in words: what it does, its params, outputs and metrics; the same for ours and a third party's."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import timedelta
from enum import Enum
from inspect import getdoc
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from offbus.durations import format_duration
from offbus.language.cel import types
from offbus.plugins import Plugin
from offbus.step import Expr, FromAncestor, StepType

__all__ = ["Explanation", "ParamExplanation", "explain"]


@dataclass(frozen=True, slots=True)
class ParamExplanation:
    """A param, or an output."""

    name: str
    type: str
    description: str
    default: str | None = None
    """As YAML; None if it must be given or has none."""
    required: bool = False
    from_ancestor: str | None = None
    """The output of an ancestor that it takes when it is left out."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """A step type."""

    name: str
    kind: str
    summary: str
    text: str
    package: str
    version: str
    timeout: str
    injects: bool
    background: bool
    params: tuple[ParamExplanation, ...]
    outputs: tuple[ParamExplanation, ...]
    metrics: dict[str, str]
    """CEL type names."""
    meanings: dict[str, str]
    """What the metrics measure."""
    examples: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As `offbus steps NAME --format json` prints it; keys are stable."""
        return asdict(self)


def explain(step: StepType, plugin: Plugin) -> Explanation:
    """Everything that is known of a step type. Raises CouldNotRun when what runs it cannot be loaded."""
    return Explanation(
        name=step.name,
        kind=step.kind.value,
        summary=step.summary,
        text=getdoc(step.load_run()) or "",
        package=plugin.package,
        version=plugin.version,
        timeout=format_duration(step.timeout),
        injects=step.injects,
        background=step.background,
        params=tuple(_param(name, info) for name, info in step.params.model_fields.items()),
        outputs=tuple(_outputs(step.outputs)),
        metrics={name: one.type for name, one in step.measures().items()},
        meanings={name: one.meaning for name, one in step.measures().items()},
        examples=tuple(step.examples),
    )


def _param(name: str, info: FieldInfo) -> ParamExplanation:
    mark = next((mark for mark in info.metadata if isinstance(mark, FromAncestor)), None)
    is_expression = any(isinstance(mark, Expr) for mark in info.metadata)
    return ParamExplanation(
        name=info.alias or name,
        type="expression" if is_expression else _type(info.annotation),
        description=info.description or "",
        default=None
        if info.is_required() or mark is not None
        else _yaml(info.get_default(call_default_factory=True)),
        required=info.is_required(),
        from_ancestor=None if mark is None else mark.output,
    )


def _outputs(model: type[BaseModel]) -> Iterator[ParamExplanation]:
    for name, of in types.flatten(model).items():
        info, at = None, model
        for part in name.split("."):
            info = at.model_fields[part]
            nested = types.unwrap(info.annotation)
            at = nested if isinstance(nested, type) and issubclass(nested, BaseModel) else at
        if info is not None and of is not types.MODEL:
            yield ParamExplanation(name, str(of), info.description or "")


def _type(annotation: Any) -> str:
    """A field's type as a user would say it."""
    plain = types.unwrap(annotation)
    if get_origin(plain) is Literal:
        return " | ".join(map(str, get_args(plain)))
    if isinstance(plain, type) and issubclass(plain, Enum):
        return " | ".join(str(member.value) for member in plain)
    if isinstance(plain, type) and issubclass(plain, BaseModel):
        return "{" + ", ".join(info.alias or name for name, info in plain.model_fields.items()) + "}"
    found = types.of_annotation(plain)
    if found.name == "list" and get_args(plain):
        return f"list of {_type(get_args(plain)[0])}"
    words = {
        "int": "integer",
        "double": "number",
        "bool": "boolean",
        "dyn": "any",
        "map": "mapping",
        "list": "list",
    }
    return words.get(found.name, found.name)


def _yaml(value: Any) -> str | None:
    """A default as it would be written."""
    if value is None:
        return None
    if isinstance(value, timedelta):
        return format_duration(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, BaseModel):
        return value.model_dump_json(by_alias=True)
    if isinstance(value, list | tuple):
        return f"[{', '.join(_yaml(item) or 'null' for item in value)}]"
    return '""' if value == "" else str(value)
