"""Compares the fingerprints of a place before and after a run."""

from collections.abc import Mapping
from typing import Any

from offbus.environment import Environment

__all__ = ["Difference", "differences", "foreign_of", "mend_of"]

Difference = tuple[str, str]
"""An item, and what is different about it."""

_NONE = object()


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    """Every item that is not as it was, sorted by name."""
    names = sorted(before.keys() | after.keys())
    return [
        (name, _tell(before.get(name, _NONE), after.get(name, _NONE)))
        for name in names
        if before.get(name, _NONE) != after.get(name, _NONE)
    ]


def _tell(before: object, after: object) -> str:
    if before is _NONE:
        return f"was not there, is {_short(after)}"
    if after is _NONE:
        return f"was {_short(before)}, is gone"
    return f"was {_short(before)}, is {_short(after)}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else text[:199] + "…"


def mend_of(environment: Environment, item: str, before: Any) -> str | None:
    """The command with which the environment would mend an item (offbus.environment.Mends); None when it has none."""
    mend = getattr(environment, "mend", None)
    said = mend(item, before) if callable(mend) else None
    return said if isinstance(said, str) and said else None


def foreign_of(
    environment: Environment, item: str, before: Mapping[str, Any], after: Mapping[str, Any]
) -> str | None:
    """Why a difference is somebody else's (offbus.environment.TellsForeign); None when it may be this run's."""
    tell = getattr(environment, "foreign", None)
    said = tell(item, before, after) if callable(tell) else None
    return said if isinstance(said, str) and said else None
