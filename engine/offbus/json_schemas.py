"""JSON Schemas as they are published: each with its version in `$id`, and with a description of every property.

Descriptions come from where the models have them: `Field(description=…)`, which pydantic takes over, `Doc(…)`, and
docstrings below attributes. The latter are read from the source, and only here: a run has no use for them.
"""

import ast
import inspect
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from textwrap import dedent
from typing import Any, Final

from typing_extensions import Doc, get_type_hints

__all__ = ["DRAFT", "TIME", "Schema", "described", "published"]

Schema = dict[str, Any]

DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"
_ID = "https://offbus.dev/schemas/{name}/{version}.json"
TIME: Final[dict[str, Any]] = {"format": "date-time"}
"""For a field that holds a time (RFC 3339)."""


def published(name: str, version: int, schema: Mapping[str, Any]) -> Schema:
    """A schema under its name: what is told by another number is another format, which old readers do not read."""
    return {"$schema": DRAFT, "$id": _ID.format(name=name, version=version), **schema}


def described(schema: Schema, models: Iterable[type]) -> Schema:
    """`schema`, made from `models`, with their docstrings where it has no description."""
    texts = {model.__name__: dict(_texts(model)) for model in models}
    for name, definition in ((schema.get("title"), schema), *schema.get("$defs", {}).items()):
        for key, field in definition.get("properties", {}).items():
            text = texts.get(str(name), {}).get(key)
            if text is not None:
                field.setdefault("description", text)
    return schema


def _texts(model: type) -> Iterator[tuple[str, str]]:
    """The fields of a model that have a docstring, or a `Doc`."""
    for name, hint in get_type_hints(model, include_extras=True).items():
        for mark in getattr(hint, "__metadata__", ()):
            if isinstance(mark, Doc):
                yield name, mark.documentation
    try:
        [tree] = ast.parse(dedent(inspect.getsource(model))).body
    except (OSError, TypeError, SyntaxError):  # made by a call, not by a statement
        return
    statements = getattr(tree, "body", [])
    for field, text in pairwise(statements):
        match field, text:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(found))):
                yield name, " ".join(inspect.cleandoc(found).split())
