"""Compares the fingerprints before and after a run, and words each difference: `was …, is …`, cut to a bound."""

from collections.abc import Mapping, Sequence
from typing import Any

from offbus.abilities import SuggestsFixes, TellsExternalChanges, ability
from offbus.environment import Environment
from offbus.undo import Undo

__all__ = ["Difference", "differences", "external_change_of", "fix_of", "value_of"]

Difference = tuple[str, str]
"""An item, and what is different about it."""

_NONE = object()
_MANY = "[]"
"""Ends the name of an item that holds many (offbus.environment.Environment.fingerprint)."""
_ASIDE = "()"
"""Ends a key of an item's value that is not compared (the same)."""


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    """Every item that is not as it was, sorted by name."""
    was, now = _unlike(before, after), _unlike(after, before)
    return [
        (name, _tell(was.get(name, _NONE), now.get(name, _NONE)))
        for name in sorted(was.keys() | now.keys())
        if was.get(name, _NONE) != now.get(name, _NONE)
    ]


def value_of(items: Mapping[str, Any], name: str) -> Any:
    """What a fingerprint says under a name that `differences` returned; None when it says nothing."""
    if name in items:
        return items[name]
    many, _, key = name.removesuffix("]").partition("[")
    return (items.get(many + _MANY) or {}).get(key)


def _unlike(items: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """The items that differ in `others`, those that hold many one by one."""
    found: dict[str, Any] = {}
    for name, value in items.items():
        if others.get(name, _NONE) == value:
            continue
        if name.endswith(_MANY) and isinstance(value, Mapping):
            found.update({f"{name.removesuffix(_MANY)}[{key}]": one for key, one in value.items()})
        elif (compared := _compared(value)) is not _NONE:
            found[name] = compared
    return found


def _compared(value: Any) -> Any:
    """Without what only explains a difference; `_NONE` when the value is nothing else."""
    if not isinstance(value, Mapping) or not any(str(key).endswith(_ASIDE) for key in value):
        return value
    return {key: one for key, one in value.items() if not str(key).endswith(_ASIDE)} or _NONE


def _tell(before: object, after: object) -> str:
    if before is _NONE:
        return f"was not there, is {_short(after)}"
    if after is _NONE:
        return f"was {_short(before)}, is gone"
    return f"was {_short(before)}, is {_short(after)}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else text[:199] + "…"


def fix_of(environment: Environment, item: str, before: Any) -> str | None:
    """The command that the environment suggests for an item; None if it has none."""
    knows = ability(environment, SuggestsFixes)
    said = None if knows is None else knows.fix(item, before)
    return said if isinstance(said, str) and said else None


def external_change_of(
    environment: Environment,
    item: str,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    recorded: Sequence[Undo] | None,
) -> str | None:
    """Why somebody else made a difference; None when it may be this run's."""
    knows = ability(environment, TellsExternalChanges)
    said = None if knows is None else knows.external_change(item, before, after, recorded)
    return said if isinstance(said, str) and said else None
