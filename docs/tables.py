"""Markdown tables: of anything, of a step type's fields, and of the keys of the scenario format."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from pydantic import BaseModel, TypeAdapter

from offbus.durations import PATTERN, format_duration
from offbus.language.explain import ParamExplanation

__all__ = ["keys", "outputs", "params", "table"]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; line breaks and pipes in cells are escaped."""
    lines = [head, ["---"] * len(head), *([_cell(one) for one in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def params(fields: Sequence[ParamExplanation]) -> str:
    """The params of a step type."""
    rows = [(f"`{one.name}`", one.type, _or(one), one.description) for one in fields]
    return table(["name", "type", "default", "what"], rows) if rows else "None.\n"


def _or(one: ParamExplanation) -> str:
    if one.from_ancestor is not None:
        return f"`{one.from_ancestor}` of an ancestor"
    return "required" if one.required else f"`{one.default}`" if one.default is not None else ""


def outputs(fields: Sequence[ParamExplanation]) -> str:
    """The outputs of a step type."""
    rows = [(f"`{one.name}`", one.type, one.description) for one in fields]
    return table(["name", "type", "what"], rows) if rows else "None.\n"


def keys(model: type[BaseModel]) -> str:
    """The keys of one part of a scenario, from its model's JSON schema."""
    schema = model.model_json_schema()
    required = schema.get("required", ())
    rows = [
        (
            f"`{name}`",
            _type(field),
            "required" if name in required else _default(field),
            field.get("description", ""),
        )
        for name, field in schema["properties"].items()
    ]
    return table(["key", "type", "default", "what"], rows)


def _type(field: Mapping[str, Any]) -> str:
    found = [_word(one) for one in field.get("anyOf", [field]) if one.get("type") != "null"]
    return " or ".join(dict.fromkeys(found))


def _word(field: Mapping[str, Any]) -> str:
    if "enum" in field or "const" in field:
        return " or ".join(f"`{one}`" for one in field.get("enum", [field.get("const")]))
    if field.get("pattern") == PATTERN:
        return "duration"
    if field.get("type") == "array":
        return f"list of {_type(field['items'])}" if field.get("items") else "list"
    kind: str = field.get("type", "object")
    return "mapping" if kind == "object" else kind


def _default(field: Mapping[str, Any]) -> str:
    default = field.get("default")
    if default in (None, "", [], {}):
        return ""
    if isinstance(default, bool | list):
        return f"`{json.dumps(default)}`"
    if isinstance(default, str) and _type(field) == "duration":
        return f"`{format_duration(TypeAdapter(timedelta).validate_python(default))}`"
    return f"`{default}`"
