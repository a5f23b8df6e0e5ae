"""Pydantic's validation errors as findings: our words, the position in the file, what is allowed, what was meant."""

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from offbus.durations import respelt
from offbus.findings.codes import Code
from offbus.findings.model import Edit, Position
from offbus.findings.suggest import certain, closest
from offbus.language.cel import types
from offbus.language.check import pydantic_wording
from offbus.language.check.certain_fixes import of_another_type
from offbus.language.syntax.node import Node
from offbus.language.syntax.positions import Positions

__all__ = ["Subject", "key_of", "keys_of", "note_errors"]

_WANTED = {
    "string": "text", "int": "an integer", "float": "a number", "bool": "true or false", "decimal": "a number",
    "list": "a list", "tuple": "a list", "set": "a list", "frozen_set": "a list", "dict": "a mapping",
    "model": "a mapping", "model_attributes": "a mapping", "dataclass": "a mapping",
    "time_delta": "a duration", "duration": "a duration",
    "none": "left out",
}  # fmt: skip
"""What a field wants, by the beginning of pydantic's error types (`int_type`, `int_parsing`, `int_from_float`)."""
_KIND = re.compile(r"^(.+?)_(type|parsing|from_float|parsing_size|required)$")


class Subject(NamedTuple):
    """What is being validated, for the words of a finding."""

    name: str
    """ "step type deploy", "environment local"."""
    model: type[BaseModel]
    missing: Position
    """Where to say that a key at the top is missing."""
    unknown: tuple[Code, str] = (Code.UNKNOWN_KEY, "{name} has no key {key!r}")
    """Code and words for an unknown key at the top."""


def key_of(model: type[BaseModel], field: str) -> str:
    """How a field is spelt in the file."""
    return model.model_fields[field].alias or field


def keys_of(model: type[BaseModel]) -> list[str]:
    """How all fields are spelt in the file."""
    return [key_of(model, field) for field in model.model_fields]


def note_errors(
    errors: Sequence[ErrorDetails],
    node: Node,
    positions: Positions,
    subject: Subject,
    ignore: Callable[[ErrorDetails], bool] = lambda _: False,
) -> None:
    """Note a finding for each error; several at one value (a union's branches) become one."""
    by_path: dict[tuple[int | str, ...], list[ErrorDetails]] = {}
    misspelt = {_meant(error, subject) for error in errors if error["type"] == "extra_forbidden"}
    for error in errors:
        at, taken = positions.follow(node, error["loc"])
        if error["type"] == "missing" and error["loc"] in misspelt:
            continue  # which is one mistake, and has its finding
        if ignore(error) or at.spoiled or (error["type"] == "value_error" and _lacks_values(at)):
            continue
        if error["type"] == "missing":
            _missing(error, at, taken, positions, subject)
        elif error["type"] == "extra_forbidden":
            _unknown(error, node, positions, subject)
        else:
            by_path.setdefault(taken, []).append(error)
    for path, group in by_path.items():
        _value(group, path, positions.follow(node, path)[0], positions, subject)


def _meant(error: ErrorDetails, subject: Subject) -> tuple[int | str, ...]:
    """Where the key is that an unknown one can only be a slip of."""
    *path, key = error["loc"]
    model = _model_at(subject.model, path)
    return (*path, certain(str(key), keys_of(model) if model is not None else ()) or "")


def _lacks_values(node: Node) -> bool:
    """Whether a value in it has another finding already: what a model says of the whole means nothing then."""
    return any(child.spoiled for child in node.children.values())


def _missing(
    error: ErrorDetails, parent: Node, taken: Sequence[int | str], positions: Positions, subject: Subject
) -> None:
    key = error["loc"][-1]
    model = _model_at(subject.model, error["loc"][:-1])
    where = positions.start_of(parent) if taken else subject.missing
    what = subject.name if not taken else f"{subject.name}: {_spelt(taken)}"
    fields = model.model_fields.items() if model is not None else ()
    text = next(
        (f"{key}: {i.description}" for f, i in fields if (i.alias or f) == key and i.description), None
    )
    positions.note(Code.MISSING_KEY, f"{what} needs the key {key!r}", where, hint=text)


def _unknown(error: ErrorDetails, node: Node, positions: Positions, subject: Subject) -> None:
    *path, key = error["loc"]
    parent, taken = positions.follow(node, path)
    model = _model_at(subject.model, path)
    allowed = keys_of(model) if model is not None else []
    code, words = subject.unknown if not taken else (Code.UNKNOWN_KEY, "{name} has no key {key!r}")
    name = subject.name if not taken else f"{subject.name}: {_spelt(taken)}"
    positions.note(
        code,
        words.format(name=name, key=key),
        positions.key(parent, str(key)),
        hint=f"allowed: {', '.join(sorted(allowed))}" if allowed else "it takes no keys",
        suggestion=closest(str(key), allowed),
        fix=_renamed_key(parent, str(key), allowed, positions),
    )


def _renamed_key(parent: Node, key: str, allowed: Sequence[str], positions: Positions) -> Edit | None:
    """A slip of the only key that it can be, unless that is there too."""
    meant = certain(key, allowed)
    node = parent.keys.get(key)
    return None if node is None or meant in parent.keys else positions.renamed(node, meant)


def _model_at(model: type[BaseModel] | None, path: Sequence[int | str]) -> type[BaseModel] | None:
    """The model of the mapping that `path` leads to, through lists and optional fields."""
    for step in path:
        if isinstance(step, int) or model is None:
            continue
        info = next((i for f, i in model.model_fields.items() if (i.alias or f) == step), None)
        if info is not None:
            model = _nested(info.annotation)
    return model


def _nested(annotation: Any) -> type[BaseModel] | None:
    """The model that a field holds, itself or in a list or mapping."""
    plain = types.unwrap(annotation)
    if isinstance(plain, type) and issubclass(plain, BaseModel):
        return plain
    return next(filter(None, map(_nested, get_args(plain))), None)


def _value(
    group: Sequence[ErrorDetails],
    path: Sequence[int | str],
    node: Node,
    positions: Positions,
    subject: Subject,
) -> None:
    error, name = group[0], f"{_spelt(path)}: "
    kinds = (_KIND.match(one["type"]) for one in group)  # of what is of the wrong type
    wanted = list(dict.fromkeys(filter(None, (_WANTED.get(kind[1]) for kind in kinds if kind))))
    if wanted:
        code = Code.NOT_A_DURATION if wanted == ["a duration"] else Code.WRONG_TYPE
        message = f"{name}must be {' or '.join(wanted)}, and this is {_found(node, error)}"
        fix = positions.rewritten(node, of_another_type(wanted, node, positions.spelt(node)))
        positions.note(code, message, positions.of(node), hint=_type_hint(wanted, node), fix=fix)
        return
    code, message, hint, suggestion = _other(error, node)
    if not error["loc"]:  # a validator of the whole model
        positions.note(Code.NOT_ALLOWED, f"{subject.name}: {pydantic_wording.said(error)}", subject.missing)
        return
    fix = _other_fix(error, node, positions)
    positions.note(code, f"{name}{message}", positions.of(node), hint=hint, suggestion=suggestion, fix=fix)


def _spelt(path: Sequence[int | str]) -> str:
    """A path in the data as people write it: "target.name", "planes[0]"."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def _found(node: Node, error: ErrorDetails) -> str:
    """The value in words; of an expression, what it came to."""
    if node.kind != "scalar":
        return "a list" if node.kind == "sequence" else "a mapping"
    value = error["input"] if node.templated else node.value
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return f"the boolean {'true' if value else 'false'}"
    if isinstance(value, str):
        return f"the text {value!r}" if len(value) < 60 else "a text"
    if isinstance(value, int | float):
        return f"the {'integer' if isinstance(value, int) else 'number'} {value}"
    return "a list" if isinstance(value, list) else "a mapping"


def _type_hint(wanted: Sequence[str], node: Node) -> str | None:
    if "a duration" in wanted:
        return 'write it like "90s", "1h30m" or "500ms"'
    if node.kind != "scalar" or node.templated:
        return None
    if "text" in wanted and node.value is not None and not isinstance(node.value, str):
        return f'quote it if text is meant: "{node.value}"'
    if (
        isinstance(node.value, str)
        and node.style in ('"', "'")
        and "a list" not in wanted
        and "a mapping" not in wanted
    ):
        return "write it without quotes"
    if "a list" in wanted and isinstance(node.value, str):
        return f"write [{node.value}]" if node.style is None else f'write ["{node.value}"]'
    return None


def _other(error: ErrorDetails, node: Node) -> tuple[Code, str, str | None, str | None]:
    """code, message, hint, suggestion of what is not a matter of type."""
    kind, context = error["type"], error.get("ctx", {})
    if kind == "duration":
        return Code.NOT_A_DURATION, str(context["problem"]), None, None
    if kind in ("literal_error", "enum"):
        allowed = pydantic_wording.allowed(error)
        suggestion = closest(node.value, allowed) if isinstance(node.value, str) else None
        return (
            Code.NOT_ALLOWED,
            f"{_found(node, error)} is not allowed",
            f"allowed: {', '.join(allowed)}",
            suggestion,
        )
    if kind in ("too_short", "string_too_short"):
        least, has = context.get("min_length", 1), context.get("actual_length", len(node.value or ""))
        return Code.NOT_ALLOWED, f"must have at least {least}, and this has {has}", None, None
    if kind == "string_pattern_mismatch":
        return Code.BAD_NAME, f"{node.value!r} is not allowed", f"it must match {context['pattern']}", None
    return (
        Code.NOT_ALLOWED,
        f"{_found(node, error)} is not allowed: {pydantic_wording.said(error)}",
        None,
        None,
    )


def _other_fix(error: ErrorDetails, node: Node, positions: Positions) -> Edit | None:
    """The only value of a few that it can be a slip of, or the duration in our notation."""
    if not isinstance(node.value, str) or node.templated:
        return None
    if error["type"] == "duration":
        return positions.renamed(node, respelt(node.value))
    if error["type"] in ("literal_error", "enum"):
        return positions.renamed(node, certain(node.value, pydantic_wording.allowed(error)))
    return None
