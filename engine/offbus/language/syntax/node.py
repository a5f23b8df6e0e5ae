"""A value in a scenario file that knows its position."""

from dataclasses import dataclass, field
from typing import Any, Literal

from offbus.findings.model import Position

__all__ = ["Node", "span", "weight"]

PIECE = 64
"""Characters of a text that count as a value."""
_NONE: "dict[Any, Node]" = {}


@dataclass(slots=True, eq=False)
class Node:
    """A value in the file and its position. Marks are PyYAML's: `line`, `column` and `index` count from 0."""

    kind: Literal["scalar", "mapping", "sequence"]
    start: Any
    end: Any
    value: Any
    """Plain Python data; a collection's holds its children's."""
    style: str | None = None
    """Of scalars: None is plain, else the quote, | or >."""
    keys: "dict[str, Node]" = field(default_factory=lambda: _NONE)
    """A mapping's keys, by name; of others empty and shared."""
    children: "dict[Any, Node]" = field(default_factory=lambda: _NONE)
    """By key, or by index; a scalar's is empty and shared."""
    size: int = 1
    """Nodes in it, itself included; what an alias to it adds."""
    templated: bool = False
    """Whether a `${{` occurs in it."""
    spoiled: bool = False
    """Whether it already has a finding, so that its value means nothing."""
    closed: bool = True
    pending: "tuple[str, Node] | None" = None
    """While a mapping is being built: the key that waits for its value."""


def weight(node: Node) -> int:
    """How many values something of a file is to whoever checks it: all in it, each piece of a text one more."""
    total, todo = 0, [node]
    while todo:
        one = todo.pop()
        total += 1 + (len(one.value) // PIECE if isinstance(one.value, str) else 0)
        todo += one.children.values()
    return total


def span(file: str, node: Node) -> Position:
    """A node's position; for a collection that spans lines, up to the end of its first line."""
    start, end = node.start, node.end
    if end.line != start.line:
        return Position(file, start.line + 1, start.column + 1, start.line + 1, 1 << 20)
    return Position(file, start.line + 1, start.column + 1, end.line + 1, end.column + 1)
