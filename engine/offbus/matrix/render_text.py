"""A matrix's report as text: one line a cell, and what to do about those that did not pass."""

import shlex
from collections.abc import Iterator
from pathlib import Path

from offbus.exits import Exit
from offbus.matrix.summary import CellReport, MatrixReport
from offbus.printable import clean
from offbus.report.formatting import seconds
from offbus.report.spans import Line, Span, Tone, line

__all__ = ["matrix_lines"]

WORDS = {
    Exit.PASSED: Span("PASSED", Tone.GOOD),
    Exit.FAILED: Span("FAILED", Tone.BAD),
    Exit.INVALID: Span("INVALID", Tone.BAD),
    Exit.COULD_NOT_RUN: Span("COULD NOT RUN", Tone.BAD),
    Exit.RESIDUE: Span("RESIDUE", Tone.BAD),
    Exit.INTERRUPTED: Span("INTERRUPTED", Tone.CAUTION),
}
NOT_PLAYED = Span("not played", Tone.DIM)
WIDEST = 100
"""Characters of a reason."""


def matrix_lines(report: MatrixReport, path: Path) -> list[Line]:
    """The table; `path` is that of the report's file."""
    lines = [line(""), *_head(report), *_rows(report), *_residue(report)]
    if report.ended is not None and not all(cell.passed for cell in report.cells):
        command = f"offbus run {shlex.quote(report.scenario)} --resume {shlex.quote(str(path.parent))}"
        lines.append(line("play the others: ", (clean(command), Tone.STRONG)))
    return [*lines, line("report: ", str(path))]


def _head(report: MatrixReport) -> Iterator[Line]:
    counted = [f"{sum(cell.passed for cell in report.cells)} of {len(report.cells)} cells passed"]
    waiting = sum(cell.state == "not_played" for cell in report.cells)
    counted += [f"{waiting} not played"] if waiting else []
    word = WORDS[Exit(report.exit)] if report.exit is not None else Span("RUNNING", Tone.CAUTION)
    yield line(word, "  ", (clean(report.name), Tone.STRONG), f"  {', '.join(counted)}")


def _rows(report: MatrixReport) -> Iterator[Line]:
    width = max((len(cell.id) for cell in report.cells), default=0)
    words = [NOT_PLAYED if cell.exit is None else WORDS[Exit(cell.exit)] for cell in report.cells]
    widest = max((len(word.text) for word in words), default=0)
    for cell, word in zip(report.cells, words, strict=True):
        took = "" if cell.duration_s is None else seconds(cell.duration_s)
        shown = Span(f"{word.text:<{widest}}", word.tone)
        yield line(f"  {clean(cell.id):<{width}}  ", shown, f"  {took:>8}  {_why(cell)}")


def _why(cell: CellReport) -> str:
    whys = [cell.because] if cell.because else cell.reasons
    why = clean(whys[0]) if whys else ""
    more = f" (and {len(whys) - 1} more)" if len(whys) > 1 else ""
    attention = f"needs attention: {clean(cell.needs_attention[0])}" if cell.needs_attention else ""
    told = "; ".join(one for one in (why + more, attention) if one)
    return told if len(told) <= WIDEST else f"{told[: WIDEST - 1]}…"


def _residue(report: MatrixReport) -> Iterator[Line]:
    unclean = [cell for cell in report.cells if cell.exit == Exit.RESIDUE.value]
    if not unclean:
        yield line("residue: none")
    for cell in unclean:
        items = f"{cell.residue} item{'' if cell.residue == 1 else 's'}"
        recover = f"offbus recover {shlex.quote(cell.run)}" if cell.run else "its run is not known"
        yield line(("residue:", Tone.BAD), f" {clean(cell.id)}: {items}; {clean(recover)}")
