"""Applies pydantic models to what was read, strictly, as JSON is: "3" is no integer, 1 is no boolean.

Params and options go through pydantic's JSON mode, in which strict still allows what JSON has no type for (an enum, a
tuple, a path), and so behave the same whether a value comes from the file or from an expression at run time. A field of
type timedelta takes "90s", whether it is declared as `offbus.durations.Duration` or as a plain timedelta.
"""

import copy
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, to_json

from offbus.durations import parse_duration

__all__ = ["apply", "errors_of"]

_Model = TypeVar("_Model", bound=BaseModel)
_DURATION_ERRORS = frozenset({"time_delta_parsing", "time_delta_type"})


def apply(model: type[_Model], data: Any) -> _Model:
    """The validated model. Raises ValidationError."""
    try:
        return model.model_validate_json(to_json(data), strict=True)
    except ValidationError as err:
        substituted = _with_durations(data, errors_of(err))
        if substituted is None:
            raise
        return model.model_validate_json(to_json(substituted), strict=True)


def errors_of(err: ValidationError) -> list[ErrorDetails]:
    """Its errors, without links to pydantic's website."""
    return err.errors(include_url=False)


def _with_durations(data: Any, errors: Sequence[ErrorDetails]) -> Any | None:
    """The data with each "90s" where a plain timedelta is wanted replaced; None if there is none."""
    found: list[tuple[tuple[int | str, ...], timedelta]] = []
    for error in errors:
        if error["type"] in _DURATION_ERRORS and isinstance(error["input"], str):
            try:
                found.append((error["loc"], parse_duration(error["input"])))
            except ValueError:
                continue  # it stays as it is, and is refused with its own words
    if not found:
        return None
    substituted = copy.deepcopy(data)
    for loc, value in found:
        _put(substituted, loc, value)
    return substituted


def _put(data: Any, loc: tuple[int | str, ...], value: timedelta) -> None:
    """Replace what `loc` leads to; branches of unions, which are in `loc` but not in the data, are left out."""
    parent, last = None, None
    for step in loc:
        inside = step in data if isinstance(data, dict) else isinstance(data, list) and isinstance(step, int)
        if inside:
            parent, last, data = data, step, data[step]
    if parent is not None:
        parent[last] = value
