"""Positions in a file that was read: from a path into its data, or an offset in one of its texts, to a `Position`."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from offbus.findings.codes import Code
from offbus.findings.model import Finding, Position, Severity
from offbus.language.syntax.node import Node, span
from offbus.language.syntax.source import Source

__all__ = ["Positions"]

_ESCAPE_LENGTH = {"x": 4, "u": 6, "U": 10}
"""Characters of a double-quoted YAML escape by its letter; all others take two."""


@dataclass(slots=True)
class Positions:
    """Finds positions in one file, and collects the findings about it."""

    source: Source
    findings: list[Finding]
    """What makes the scenario invalid."""
    warnings: list[Finding] = field(default_factory=list)

    def note(
        self,
        code: Code,
        message: str,
        where: Position,
        *,
        hint: str | None = None,
        suggestion: str | None = None,
        severity: Severity = Severity.ERROR,
    ) -> None:
        """Collect a finding at a position in this file."""
        lines = self.source.lines
        frame = lines[where.line - 1] if 0 < where.line <= len(lines) else None
        collected = self.warnings if severity is Severity.WARNING else self.findings
        collected.append(
            Finding(
                code=code,
                message=message,
                where=where,
                hint=hint,
                suggestion=suggestion,
                frame=frame,
                severity=severity,
            )
        )

    def of(self, node: Node) -> Position:
        """A node's own position."""
        return span(str(self.source.path), node)

    def start_of(self, node: Node) -> Position:
        """For what a node lacks: its position, without the rest of a line that it shares."""
        first = next(iter(node.keys.values()), None)
        return self.of(node if node.kind == "scalar" or first is None else first)

    def key(self, mapping: Node, name: str) -> Position:
        """The position of a key; of the mapping if it has no such key."""
        key = mapping.keys.get(name)
        return self.start_of(mapping) if key is None else self.of(key)

    def value(self, mapping: Node, name: str) -> Position:
        """The position of a key's value; of the mapping if it has no such key."""
        node = mapping.children.get(name)
        return self.start_of(mapping) if node is None else self.of(node)

    def follow(self, node: Node, path: Sequence[str | int]) -> tuple[Node, tuple[str | int, ...]]:
        """The node at the end of `path`, leaving out steps that are not in the data; and the steps that were taken."""
        taken: list[str | int] = []
        for step in path:
            child = node.children.get(step)
            if child is not None:
                node = child
                taken.append(step)
        return node, tuple(taken)

    def within(self, node: Node, offset: int, length: int = 1) -> Position:
        """The position of `node.value[offset : offset + length]` of a text.

        Exact for plain and quoted texts on one line and for literal blocks; else the whole text.
        """
        start = self._index_of(node, offset)
        if start is None:
            return self.of(node)
        line = node.start.line + self.source.text.count("\n", node.start.index, start)
        column = start - (self.source.text.rfind("\n", 0, start) + 1)
        return Position(str(self.source.path), line + 1, column + 1, line + 1, column + 1 + max(1, length))

    def _index_of(self, node: Node, offset: int) -> int | None:
        """The index in the file's text of a character of a text's value; None if it is not known exactly."""
        raw = self.source.text[node.start.index : node.end.index]
        if node.style in ("|", ">"):
            return _in_block(raw, node.value, offset, node.start.index) if node.style == "|" else None
        if "\n" in raw:
            return None
        if node.style in (None, "substituted"):
            return int(node.start.index) + offset
        steps = _double_quoted(raw) if node.style == '"' else _single_quoted(raw)
        return int(node.start.index) + steps[min(offset, len(steps) - 1)]


def _double_quoted(raw: str) -> list[int]:
    """For each character of the value (and its end) the index in the raw text, quotes included."""
    steps, at = [], 1
    while at < len(raw) - 1:
        steps.append(at)
        at += _ESCAPE_LENGTH.get(raw[at + 1], 2) if raw[at] == "\\" else 1
    return [*steps, at]


def _single_quoted(raw: str) -> list[int]:
    steps, at = [], 1
    while at < len(raw) - 1:
        steps.append(at)
        at += 2 if raw[at] == "'" else 1
    return [*steps, at]


def _in_block(raw: str, value: str, offset: int, start: int) -> int | None:
    """In a literal block: line n of the value is line n + 1 of the raw text, indented as its first line is."""
    head, *lines = raw.split("\n")
    indent = next((len(line) - len(line.lstrip(" ")) for line in lines if line.strip()), 0)
    row = value.count("\n", 0, offset)
    column = offset - (value.rfind("\n", 0, offset) + 1)
    if row >= len(lines):
        return None
    return start + len(head) + 1 + sum(len(line) + 1 for line in lines[:row]) + indent + column
