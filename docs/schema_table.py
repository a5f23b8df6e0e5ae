"""Makes Markdown tables out of the models' JSON schemas."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from pydantic import BaseModel, TypeAdapter

from offbus.durations import PATTERN, format_duration

__all__ = ["Table", "cell"]

Schema = Mapping[str, Any]


def cell(text: str) -> str:
    """Text that breaks no table."""
    return " ".join(text.split()).replace("|", "\\|")


class Table:
    """A model's fields, and those of the models that they hold."""

    def __init__(self, model: type[BaseModel], *, outputs: bool = False) -> None:
        self._schema: Schema = model.model_json_schema(mode="serialization" if outputs else "validation")
        self._outputs = outputs

    def __str__(self) -> str:
        rows = list(self._rows(self._schema, ""))
        head = ["name", "type", "what"] if self._outputs else ["name", "type", "default", "what"]
        lines = [head, ["---"] * len(head), *rows]
        return "\n".join("| " + " | ".join(row) + " |" for row in lines) + "\n" if rows else "none\n"

    def _rows(self, schema: Schema, prefix: str) -> Iterator[list[str]]:
        required = schema.get("required", ())
        for name, field in schema.get("properties", {}).items():
            path = prefix + name
            default = [] if self._outputs else [self._default(field, required=name in required)]
            yield [f"`{path}`", cell(self._type(field)), *default, cell(field.get("description", ""))]
            yield from self._inside(field, path)

    def _inside(self, field: Schema, path: str) -> Iterator[list[str]]:
        for branch in self._branches(field):
            if "properties" in branch:
                yield from self._rows(branch, f"{path}.")
            elif "properties" in (item := self._resolved(branch.get("items") or {})):
                yield from self._rows(item, f"{path}[].")

    def _type(self, field: Schema) -> str:
        words = [self._word(branch) for branch in self._branches(field) if branch.get("type") != "null"]
        return " or ".join(dict.fromkeys(words))

    def _word(self, branch: Schema) -> str:
        if "enum" in branch or "const" in branch:
            return " or ".join(f"`{one}`" for one in branch.get("enum", [branch.get("const")]))
        if branch.get("pattern") == PATTERN or branch.get("format") == "duration":
            return "duration"
        if branch.get("type") == "array":
            return f"list of {self._type(branch['items'])}" if branch.get("items") else "list"
        words = {"object": "mapping", "number": "double" if self._outputs else "number"}
        kind: str = branch.get("type", "anything")
        return words.get(kind, kind) + self._bounds(branch)

    @staticmethod
    def _bounds(branch: Schema) -> str:
        signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
        return "".join(f" {sign} {branch[key]:g}" for key, sign in signs.items() if key in branch)

    @staticmethod
    def _default(field: Schema, *, required: bool) -> str:
        if required:
            return "required"
        default = field.get("default")
        if default in (None, "", [], {}):
            return ""
        if isinstance(default, str) and default.startswith("P"):
            return f"`{format_duration(TypeAdapter(timedelta).validate_python(default))}`"
        return f"`{str(default).lower() if isinstance(default, bool) else default}`"

    def _branches(self, field: Schema) -> list[Schema]:
        """The alternatives of a field, with what they refer to filled in."""
        return [self._resolved(one) for one in field.get("anyOf", [field])]

    def _resolved(self, field: Schema) -> Schema:
        """What a `$ref` of the schema names."""
        name = field.get("$ref", "").rpartition("/")[2]
        found: Schema = self._schema["$defs"][name] if name else field
        return found
