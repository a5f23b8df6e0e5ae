"""Types of CEL expressions, and how Python's map onto them.

The engine's own small notation, so that nothing needs the CEL library until an expression is compiled. A nested
`BaseModel` flattens to dotted names; a list of them is a list of maps. What has no CEL type is `dyn`.
"""

import types
import typing
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from enum import Enum
from functools import cache
from pathlib import PurePath
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel

__all__ = [
    "BOOL",
    "DOUBLE",
    "DURATION",
    "DYN",
    "INT",
    "MODEL",
    "NAMED",
    "STRING",
    "CelType",
    "flatten",
    "of_annotation",
    "to_cel",
    "unwrap",
]


class CelType(NamedTuple):
    """A CEL type; `of` are the types of a list's elements, or of a map's keys and values."""

    name: str
    of: tuple["CelType", ...] = ()

    def __str__(self) -> str:
        return f"{self.name}({', '.join(map(str, self.of))})" if self.of else self.name


BOOL, INT, DOUBLE, STRING = CelType("bool"), CelType("int"), CelType("double"), CelType("string")
DURATION, TIMESTAMP, DYN, NULL = CelType("duration"), CelType("timestamp"), CelType("dyn"), CelType("null")
MODEL = CelType("model")
"""Not CEL's: a nested model as a whole, which only a param can take."""
MAP = CelType("map", (STRING, DYN))

NAMED: Mapping[str, CelType] = {
    "bool": BOOL, "int": INT, "double": DOUBLE, "string": STRING, "duration": DURATION,
    "list": CelType("list", (DYN,)), "map": MAP,
}  # fmt: skip
"""The type names that `offbus.step` allows for metrics and variables."""

_SIMPLE: Mapping[type, CelType] = {
    bool: BOOL, int: INT, float: DOUBLE, str: STRING, timedelta: DURATION, datetime: TIMESTAMP, type(None): NULL,
}  # fmt: skip


def unwrap(annotation: Any) -> Any:
    """Without `Annotated` and without the `None` of an optional."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, types.UnionType):
        rest = [part for part in get_args(annotation) if part is not type(None)]
        if len(rest) == 1:
            return unwrap(rest[0])
    return annotation


def of_annotation(annotation: Any) -> CelType:
    """The CEL type of a field."""
    plain = unwrap(annotation)
    origin = get_origin(plain)
    if origin is Literal:
        return _common([_of_class(type(value)) for value in get_args(plain)])
    if origin in (Union, types.UnionType):
        return _common([of_annotation(part) for part in get_args(plain)])
    if isinstance(origin, type):
        return _of_generic(origin, get_args(plain))
    return _of_class(plain) if isinstance(plain, type) else DYN


def _of_class(plain: type) -> CelType:
    if typing.is_typeddict(plain):
        return MAP
    for known, cel_type in _SIMPLE.items():
        if issubclass(plain, known):
            return cel_type
    if issubclass(plain, BaseModel):
        return MODEL
    if issubclass(plain, Enum):
        return _common([_of_class(type(member.value)) for member in plain])
    if issubclass(plain, PurePath):
        return STRING
    return _of_generic(plain, ())


def _of_generic(origin: type, args: tuple[Any, ...]) -> CelType:
    if issubclass(origin, Mapping):
        return CelType("map", (STRING, _element(args[1]))) if len(args) == 2 else MAP
    if issubclass(origin, Collection):
        element = _common([_element(arg) for arg in args if arg is not Ellipsis]) if args else DYN
        return CelType("list", (element,))
    return DYN


def _element(annotation: Any) -> CelType:
    """Inside a list or map durations are text and models are maps: CEL takes neither nested."""
    found = of_annotation(annotation)
    return {MODEL: MAP, DURATION: STRING, TIMESTAMP: STRING}.get(found, found)


def _common(found: list[CelType]) -> CelType:
    """One type for all of them: int and float are double, what has nothing in common is dyn."""
    unique = set(found)
    if unique == {INT, DOUBLE}:
        return DOUBLE
    return unique.pop() if len(unique) == 1 else DYN


@cache
def flatten(model: type[BaseModel]) -> Mapping[str, CelType]:
    """Every name that an outputs model declares: "node", "target", "target.name"; models themselves are `MODEL`."""
    return dict(_flatten(model, "", (model,)))


def _flatten(
    model: type[BaseModel], prefix: str, above: tuple[type[BaseModel], ...]
) -> typing.Iterator[tuple[str, CelType]]:
    for name, info in model.model_fields.items():
        found = of_annotation(info.annotation)
        nested = unwrap(info.annotation)
        if found is MODEL and nested in above:
            found = MAP  # a model inside itself has no end
        yield prefix + name, found
        if found is MODEL:
            yield from _flatten(nested, f"{prefix}{name}.", (*above, nested))


def to_cel(value: Any, as_type: CelType) -> Any:
    """A value as the CEL library takes it for a name that is declared as `as_type`. Raises TypeError, ValueError."""
    if as_type == DURATION:
        return value if isinstance(value, timedelta) else timedelta(seconds=value)
    if as_type == DOUBLE:
        return float(value)
    if as_type.name in ("bool", "int", "timestamp"):
        return value.value if isinstance(value, Enum) else value
    return _plain(value)


def _plain(value: Any) -> Any:
    """Only what JSON has; a nested duration as CEL's duration() reads it."""
    if isinstance(value, BaseModel):
        return {name: _plain(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, timedelta):
        return f"{value / timedelta(seconds=1):.6f}s"
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Collection) and not isinstance(value, str | bytes):
        return [_plain(item) for item in value]
    return value
