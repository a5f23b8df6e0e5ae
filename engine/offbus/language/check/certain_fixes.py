"""What a file must have spelt instead, where only one thing can have been meant: the texts of `Finding.fix`.

A number in quotes where only a number will do, a number without quotes where only a text will do, one item where a list
is wanted, a duration in another notation, a whole number written as a fraction. Pure: from a scalar as it is spelt to
its new spelling, or None.
"""

import re
from collections.abc import Sequence

from offbus.durations import respelt
from offbus.language.syntax import scalars
from offbus.language.syntax.node import Node

__all__ = ["of_another_type", "quoted"]

_NUMBERS = frozenset({"an integer", "a number"})
_ONE_ITEM = re.compile(r"""[^\s,\[\]{}#"'&*!|>%@`:-][^,\[\]{}#:]*|"[^"\\]*"|'[^']*'""")
"""A plain or quoted text that means the same inside [ ]."""


def of_another_type(wanted: Sequence[str], node: Node, spelt: str | None) -> str | None:
    """`spelt`, a scalar of the wrong type, as what is wanted: "a number", "text", "a list" …"""
    if spelt is None or node.templated:
        return None
    match list(wanted):
        case ["a list"]:
            return f"[{spelt}]" if isinstance(node.value, str) and _ONE_ITEM.fullmatch(spelt) else None
        case ["text"]:
            return quoted(node, spelt)
        case ["a duration"]:
            return respelt(node.value) if isinstance(node.value, str) and node.style is None else None
        case [("an integer" | "a number" | "true or false") as only] if isinstance(node.value, str):
            return _unquoted(only, node.value)
        case ["an integer"] if isinstance(node.value, float) and re.fullmatch(
            r"-?[1-9][0-9]{0,14}\.0*", spelt
        ):
            return spelt.partition(".")[0]
    return None


def quoted(node: Node, spelt: str | None) -> str | None:
    """A plain number or boolean as the text that it looks like."""
    is_plain = spelt is not None and node.style is None and isinstance(node.value, int | float)
    return f'"{spelt}"' if is_plain else None


def _unquoted(wanted: str, text: str) -> str | None:
    """The number or boolean that a quoted text spells."""
    value = scalars.resolve_or_text(text)
    if wanted == "true or false":
        return text if isinstance(value, bool) else None
    of = int if wanted == "an integer" else (int, float)
    return text if isinstance(value, of) and not isinstance(value, bool) else None
