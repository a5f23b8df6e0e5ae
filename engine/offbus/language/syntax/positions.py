"""Positions in a file that was read: from a path into its data, or an offset in one of its texts, to a `Position`."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from offbus.findings.codes import Code
from offbus.findings.model import MOST, Edit, Finding, Position, Severity, TooManyFindings
from offbus.language.syntax.node import Node, span
from offbus.language.syntax.offsets import Offsets, offsets_in
from offbus.language.syntax.source import Source

__all__ = ["Positions"]


@dataclass(slots=True)
class Positions:
    """Finds positions in one file, and collects the findings about it."""

    source: Source
    findings: list[Finding]
    """What makes the scenario invalid."""
    warnings: list[Finding] = field(default_factory=list)
    private: bool = False
    """Whether no line of the file may be shown: it has values that are given, or is none of ours and may be anything.
    The only way to keep a line out of a finding; `note` has it for one line."""
    noted: set[Finding] = field(default_factory=set)
    """What was noted of the file: a file that is inlined hundreds of times is told of once."""
    _walked: tuple[Node, Offsets | None] | None = None
    """The text whose positions were asked for last: one after the other, all of one text."""

    def note(
        self,
        code: Code,
        message: str,
        where: Position,
        *,
        hint: str | None = None,
        suggestion: str | None = None,
        severity: Severity = Severity.ERROR,
        fix: Edit | None = None,
        private: bool = False,
    ) -> None:
        """Collect a finding at a position in this file, once. Raises TooManyFindings; of warnings, the last of so many
        says that there are more."""
        lines = () if private or self.private else self.source.lines
        frame = lines[where.line - 1] if 0 < where.line <= len(lines) else None
        found = Finding(
            code=code,
            message=message,
            where=where,
            hint=hint,
            suggestion=suggestion,
            frame=frame,
            severity=severity,
            fix=fix,
        )
        if found in self.noted:
            return
        if severity is Severity.WARNING:
            self._warn(found)
        elif len(self.findings) >= MOST:
            raise TooManyFindings
        else:
            self.findings.append(found)
        self.noted.add(found)

    def _warn(self, found: Finding) -> None:
        if len(self.warnings) == MOST - 1:
            code, message = Code.TOO_MANY_FINDINGS, f"more than {MOST} warnings; the rest is not told"
            found = replace(found, code=code, message=message, hint=None, suggestion=None, fix=None)
        if len(self.warnings) < MOST:
            self.warnings.append(found)

    def note_syntax(self) -> None:
        """Collect what was found when the file was read."""
        found = self.source.findings
        self.findings += (replace(one, frame=None) for one in found) if self.private else found

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
        if self._walked is None or self._walked[0] is not node:
            self._walked = node, offsets_in(self.source.text, self.source.lines, node)
        offsets = self._walked[1]
        if offsets is None:
            return self.of(node)
        line, column = offsets.position(offset)
        return Position(str(self.source.path), line + 1, column + 1, line + 1, column + 1 + max(1, length))

    def spelt(self, node: Node) -> str | None:
        """How the file spells a scalar, its quotes included; None where it has an anchor or a tag, more lines, or is
        not spelt as it reads: then nothing there is rewritten."""
        text = self.source.text[node.start.index : node.end.index]
        if node.kind != "scalar" or node.end.line != node.start.line or text[:1] in ("&", "!"):
            return None
        quote = node.style if node.style in ('"', "'") else ""
        plain = not quote and node.style is None
        return text if plain or text == f"{quote}{node.value}{quote}" else None

    def rewritten(self, node: Node, text: str | None) -> Edit | None:
        """The edit that spells a scalar `text`; None where that is None, or the file's spelling is not known."""
        return None if text is None or self.spelt(node) is None else Edit(self.of(node), text)

    def renamed(self, node: Node, name: str | None) -> Edit | None:
        """The edit that makes a scalar another name, in the quotes that it has."""
        quote = node.style if node.style in ('"', "'") else ""
        return None if name is None else self.rewritten(node, f"{quote}{name}{quote}")

    def replaced(self, where: Position, was: str, text: str | None) -> Edit | None:
        """The edit of a part of one line, if the file has `was` exactly there."""
        lines = self.source.lines
        here = lines[where.line - 1] if 0 < where.line <= len(lines) else ""
        known = where.end_line == where.line and here[where.column - 1 : where.end_column - 1] == was
        return Edit(where, text) if known and text is not None else None
