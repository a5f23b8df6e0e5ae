"""A scenario's inputs: declared types, defaults, and what they are given (`offbus.language.check.given`)."""

import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice
from typing import Any

from offbus.durations import parse_duration
from offbus.findings.codes import Code
from offbus.findings.model import Finding, Severity
from offbus.language.cel import lexer
from offbus.language.cel import types as celtypes
from offbus.language.cel.types import CelType
from offbus.language.check.given import PREFIX, Given, GivenInputs
from offbus.language.format import ID, InputModel
from offbus.language.syntax.node import Node
from offbus.language.syntax.positions import Positions
from offbus.secret import HOW, Secret, SecretSource, source_of

__all__ = ["Inputs", "allowed_values", "given_value", "listed", "read_inputs", "typed_value"]

MOST_LISTED, LONGEST_LISTED = 20, 100
"""Of the values that a message names: how many, and characters of each."""
_INTEGER = re.compile(r"[+-]?(?:[0-9]+|0x[0-9a-fA-F]+)")
_LONGEST_INTEGER = 64
"""Characters: no integer of 64 bits needs more, leading zeros aside."""
_TYPES: Mapping[str, CelType] = {
    "string": celtypes.STRING,
    "integer": celtypes.INT,
    "number": celtypes.DOUBLE,
    "boolean": celtypes.BOOL,
    "duration": celtypes.DURATION,
    "secret": celtypes.MODEL,
}


@dataclass(frozen=True, slots=True)
class Inputs:
    """All inputs; one that has a finding has no value, and perhaps the type dyn."""

    types: Mapping[str, CelType] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    choices: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """The values that an input lists with `enum`."""
    secrets: Mapping[str, SecretSource] = field(default_factory=dict)
    """Where the values of secret inputs are."""


def read_inputs(
    models: Mapping[str, InputModel],
    node: Node | None,
    given: GivenInputs,
    cell: Mapping[str, Any],
    positions: Positions,
) -> Inputs:
    """Resolve all inputs: what is given, else the matrix's cell, else the default. What is wrong is noted."""
    values: dict[str, Any] = {}
    choices: dict[str, Sequence[Any]] = {}
    secrets: dict[str, SecretSource] = {}
    for name, model in models.items():
        if node is None or not _named_well(name, node, positions):
            continue
        where = node.children[name]
        allowed = _enum(model, where, positions)
        if allowed:
            choices[name] = allowed
        if name in given.by_name:
            one = given.by_name[name]
            value = None if one.waits else _given(name, one, model, positions)
        elif name in cell:
            value = cell[name]
        elif given.complete or model.default is not None:
            value = _default(name, model, where, node, allowed, positions, given)
        else:
            continue
        if isinstance(value, SecretSource):
            secrets[name] = value
            value = Secret(secret=name, given=str(value))
        elif (
            value is None and model.type == "secret"
        ):  # it has a finding; what takes it needs none of its own
            value = Secret(secret=name)
        if value is not None:
            values[name] = value
    for finding in given.unknown(models):
        known = positions.findings if finding.severity is Severity.ERROR else positions.warnings
        known.append(finding)
    broken = dict.fromkeys(node.keys, celtypes.DYN) if node is not None else {}
    return Inputs(
        broken | {name: _TYPES[model.type] for name, model in models.items()}, values, choices, secrets
    )


def _named_well(name: str, node: Node, positions: Positions) -> bool:
    if re.match(ID, name) and name not in lexer.KEYWORDS:
        return True
    positions.note(
        Code.BAD_NAME,
        f"an input cannot be called {name!r}",
        positions.key(node, name),
        hint=f"it must match {ID} and be no keyword of CEL",
    )
    return False


def _enum(model: InputModel, where: Node, positions: Positions) -> list[Any] | None:
    """The allowed values, typed; None if all are."""
    if model.enum is None:
        return None
    allowed = []
    for n, item in enumerate(model.enum):
        try:
            allowed.append(_typed(model.type, item))
        except ValueError as err:
            positions.note(Code.BAD_INPUT, f"enum: {err}", positions.of(where.children["enum"].children[n]))
    return allowed


def _default(
    name: str,
    model: InputModel,
    where: Node,
    node: Node,
    allowed: list[Any] | None,
    positions: Positions,
    given: GivenInputs,
) -> Any:
    if model.default is None and given.missing is not None:
        step, at, file = given.missing
        message = f"the input {name!r} of {file} has no value"
        step.note(Code.INPUT_WITHOUT_VALUE, message, at, hint=f"write inputs: {{{name}: …}}")
        return None
    if model.default is None:
        positions.note(
            Code.INPUT_WITHOUT_VALUE,
            f"the input {name!r} has no value",
            positions.key(node, name),
            hint=f"--set {name}=…, a secret: {HOW}"
            if model.type == "secret"
            else f"set a default, or --set {name}=…, or ${PREFIX}{name.upper()}",
        )
        return None
    try:
        return _one_of(_typed(model.type, model.default), model.default, allowed)
    except ValueError as err:
        at = positions.value(where, "default")
        positions.note(Code.BAD_INPUT, f"default: {err}", at, private=model.type == "secret")
        return None


def _given(name: str, given: Given, model: InputModel, positions: Positions) -> Any:
    try:
        return given_value(model, given)
    except ValueError as err:
        shown = given.without_value(name) if model.type == "secret" else given
        positions.findings.append(
            Finding(
                code=Code.BAD_INPUT,
                message=f"the input {name!r}: {err}",
                where=shown.where,
                frame=shown.frame,
            )
        )
        return None


def allowed_values(model: InputModel) -> Mapping[Any, None] | None:
    """What an input lists, typed, to look values up in; None when it lists none. Raises ValueError."""
    return None if model.enum is None else dict.fromkeys(_typed(model.type, item) for item in model.enum)


def typed_value(model: InputModel, value: Any, allowed: Mapping[Any, None] | None = None) -> Any:
    """A value of the file as the input has it. Raises ValueError, also where the input does not list it.

    `allowed`: its `allowed_values`, for those who ask of many values.
    """
    known = allowed_values(model) if allowed is None else allowed
    return _one_of(_typed(model.type, value), value, known)


def given_value(model: InputModel, given: Given) -> Any:
    """A value that is given as the input has it. Raises ValueError, also where the input does not list it."""
    if model.type == "secret" and given.by_user:
        return source_of(given.value)
    if not given.is_text:
        return typed_value(model, given.value)
    return _one_of(_PARSERS[model.type](given.value), given.value, allowed_values(model))


def _one_of(value: Any, shown: Any, allowed: Collection[Any] | None) -> Any:
    if allowed is not None and value not in allowed:
        raise ValueError(f"{shown!r} is not one of {listed(allowed)}")
    return value


def listed(allowed: Collection[Any]) -> str:
    """What is allowed, in as many words as anybody reads."""
    more = f" and {len(allowed) - MOST_LISTED} more" if len(allowed) > MOST_LISTED else ""
    return ", ".join(str(one)[:LONGEST_LISTED] for one in islice(allowed, MOST_LISTED)) + more


def _typed(kind: str, value: Any) -> Any:
    """A value from YAML, or of an expression over inputs, as an input's type. Raises ValueError."""
    if kind == "duration" and isinstance(value, timedelta):
        return value
    if kind == "secret":
        if isinstance(value, Secret):  # of the file that inlines this one
            return value
        raise ValueError(f"where a secret is, only who runs the scenario says: {HOW}")
    if kind == "duration" and isinstance(value, str):
        return parse_duration(value)
    if kind == "number" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    wanted: Mapping[str, type] = {"string": str, "integer": int, "number": float, "boolean": bool}
    fits = isinstance(value, wanted.get(kind, ())) and not (kind == "integer" and isinstance(value, bool))
    if not fits:
        raise ValueError(f"{value!r} is not of type {kind}")
    return _bounded(value, value) if kind == "integer" else value


def _parse_text(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as err:
        raise ValueError("it is not valid UTF-8") from err
    return text


def _parse_integer(text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise ValueError(f"{text!r} is not an integer")
    if len(text) > _LONGEST_INTEGER:  # Python reads no decimal number of more than 4300 digits
        return _bounded(2**64, text)
    return _bounded(int(text, 16) if "x" in text else int(text), text)


def _bounded(value: int, shown: object) -> int:
    """An integer as CEL and JSON have them. Raises ValueError for one of more than 64 bits."""
    if not -(2**63) <= value < 2**63:
        raise ValueError(f"{shown!r} is not an integer of 64 bits")
    return value


def _parse_number(text: str) -> float:
    try:
        value = float(text)
    except ValueError as err:
        raise ValueError(f"{text!r} is not a number") from err
    if not math.isfinite(value):
        raise ValueError(f"{text!r} is not a finite number")
    return value


def _parse_boolean(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError(f"{text!r} is not a boolean; write true or false")
    return text == "true"


_PARSERS: Mapping[str, Callable[[str], Any]] = {
    "string": _parse_text,
    "integer": _parse_integer,
    "number": _parse_number,
    "boolean": _parse_boolean,
    "duration": parse_duration,
}
