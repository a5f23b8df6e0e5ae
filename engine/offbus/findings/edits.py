"""Makes the edits that findings carry, in the text of their file. Pure; whatever no edit names stays as it is."""

from collections.abc import Iterable, Sequence
from itertools import accumulate

from offbus.findings.model import Edit, Position

__all__ = ["edited", "separate"]


def edited(text: str, lines: Sequence[str], ends: Sequence[str], edits: Iterable[Edit]) -> str:
    """`text` after all edits, which do not overlap. `lines` and `ends` are its lines and what ends each of them."""
    starts = list(
        accumulate((len(line) + len(end) for line, end in zip(lines, ends, strict=False)), initial=0)
    )
    pieces: list[str] = []
    at = 0
    for edit in sorted(edits, key=_start):
        where = edit.where
        begin, end = (
            starts[line - 1] + column - 1
            for line, column in ((where.line, where.column), (where.end_line, where.end_column))
        )
        if begin < at:
            raise ValueError(f"two edits of one range: {where}")
        pieces += [text[at:begin], edit.text]
        at = end
    return "".join([*pieces, text[at:]])


def separate(edits: Iterable[Edit]) -> list[Edit]:
    """Those that can be made at once: each once, and of two that overlap the first."""
    found: list[Edit] = []
    for edit in sorted(dict.fromkeys(edits), key=_start):
        if not found or _end(found[-1].where) <= _start(edit):
            found.append(edit)
    return found


def _start(edit: Edit) -> tuple[int, int]:
    return edit.where.line, edit.where.column


def _end(where: Position) -> tuple[int, int]:
    return where.end_line, where.end_column
