"""References to objects in modules, in the notation of entry points: "package.module:attribute"."""

import importlib
from typing import Any

__all__ = ["is_reference", "resolve"]


def is_reference(text: str) -> bool:
    """Whether a text is in this notation; nothing is imported for that."""
    module, colon, attribute = text.partition(":")
    return bool(colon) and all(part.isidentifier() for part in (*module.split("."), *attribute.split(".")))


def resolve(reference: str) -> Any:
    """Import the module and get the attribute, or the module where none is named. Raises whatever the import raises."""
    module, _, attribute = reference.partition(":")
    found: Any = importlib.import_module(module)
    for part in filter(None, attribute.split(".")):
        found = getattr(found, part)
    return found
