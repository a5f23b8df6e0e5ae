"""From an offset in a text's value to where that character stands in the file.

A text is walked once, however many offsets are asked of it: a file may hold one text with 200,000 expressions, each
with positions of its own. It is cut where line or column do not simply go on: in a quoted text after each escape, in a
literal block at each line. Between two cuts a position is an addition. Pure.
"""

import re
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from offbus.language.syntax.node import Node

__all__ = ["Offsets", "offsets_in"]

_ESCAPES = {"'": re.compile("''"), '"': re.compile(r"\\(?:x..|u.{4}|U.{8}|.)")}
"""By the quote: what stands for one character of the value (YAML 1.1, 5.7 and 9.1)."""


@dataclass(frozen=True, slots=True)
class Offsets:
    """Where the characters of one text stand. Lines and columns count from 0."""

    line: int
    """Of the first character."""
    cuts: Sequence[int]
    """Offsets in the value, ascending, the first is 0."""
    columns: Sequence[int]
    """Of the character at each cut; of a block one for all."""
    is_block: bool = False
    """Whether each cut begins a line."""

    def position(self, offset: int) -> tuple[int, int]:
        """Line and column of a character of the value."""
        cut = bisect_right(self.cuts, offset) - 1
        line, column = (self.line + cut, self.columns[0]) if self.is_block else (self.line, self.columns[cut])
        return line, column + offset - self.cuts[cut]


def offsets_in(text: str, lines: Sequence[str], node: Node) -> Offsets | None:
    """The positions in a scalar of the file `text`, whose lines are `lines`; None where they are not known exactly.

    They are for plain and quoted texts on one line, and for literal blocks.
    """
    start = node.start
    if node.style == "|":
        return _block(node.value, lines, start.line + 1)
    if node.style == ">" or node.end.line != start.line:
        return None
    if node.style not in _ESCAPES:
        return Offsets(start.line, (0,), (start.column,))
    cuts, columns, lost = array("Q", (0,)), array("Q", (start.column + 1,)), 1
    for escape in _ESCAPES[node.style].finditer(text, start.index + 1, node.end.index - 1):
        at = escape.end() - start.index
        lost += len(escape[0]) - 1
        cuts.append(at - lost)
        columns.append(start.column + at)
    return Offsets(start.line, cuts, columns)


def _block(value: str, lines: Sequence[str], first: int) -> Offsets | None:
    """Line n of the value is line n of the block, without the indentation, which is told by one that is not blank."""
    rows = value.split("\n")
    told = next((number for number, row in enumerate(rows) if row.strip(" ")), None)
    if told is None or first + told >= len(lines):
        return None
    indent = _spaces(lines[first + told]) - _spaces(rows[told])
    cuts = array("Q", accumulate((len(row) + 1 for row in rows[:-1]), initial=0))
    return Offsets(first, cuts, (indent,), is_block=True)


def _spaces(line: str) -> int:
    return len(line) - len(line.lstrip(" "))
