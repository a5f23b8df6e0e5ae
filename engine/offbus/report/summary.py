"""The last lines of every run: passed or failed, why, the figures that matter, what is left, where the report is."""

import shlex
from collections.abc import Iterator
from pathlib import Path

from offbus.printable import clean
from offbus.report.formatting import measured, seconds, why_pending, why_residue
from offbus.report.gaps import RESOLVED
from offbus.report.model import MetricReport, Report, UndoReport
from offbus.report.spans import Line, Tone, line
from offbus.runs import default_runs

__all__ = ["closing_lines", "recover_command"]

WORDS = {"passed": ("PASSED", Tone.GOOD), "failed": ("FAILED", Tone.BAD), "errored": ("ERRORED", Tone.BAD)}
WIDTH = 78
"""Of the lines that can be broken."""


def closing_lines(
    report: Report, path: Path, *, goes_on: bool = False, unfinished: bool = False
) -> list[Line]:
    """The closing lines; `path` is that of report.json, or of the journal while there is no report.

    `goes_on` when a process is still playing the run: then there is nothing to recover yet. `unfinished` when its
    folder says so: a journal that broke lacks the end that the report has.
    """
    reasons = [] if goes_on else report.reasons  # what a running run still lacks is no reason yet
    # the lines of what is left repeat some of them, with how to fix them
    waiting = [one for one in report.undos if one.result not in RESOLVED]
    repeated = {why_residue(one) for one in report.residue} or {why_pending(one) for one in waiting}
    command = (recover_command(report.run, path.parent), Tone.STRONG)
    # what is left says itself how it is fixed
    to_finish = not goes_on and (not report.complete or (unfinished and not report.residue))
    return [
        _headline(report, goes_on=goes_on),
        *(line("  - ", clean(one)) for one in reasons if one not in repeated),
        *_figures(report),
        *_attention(report),
        *_settling(report),
        *_residue(report, waiting),
        *([line("finish it: ", command)] if to_finish else []),
        line("journal: " if path.suffix == ".jsonl" else "report: ", str(path)),
    ]


def recover_command(run: str, folder: Path) -> str:
    """The command that finishes a run: by its id in the default folder of runs, else by its folder."""
    usual = folder.parent == default_runs()
    return f"offbus recover {run if usual else shlex.quote(str(folder))}"


def _headline(report: Report, *, goes_on: bool) -> Line:
    word, tone = WORDS.get(report.verdict, ("ABORTED", Tone.BAD))
    if any(one.cause == "signal" for one in report.stops):
        word, tone = "INTERRUPTED", Tone.CAUTION
    if goes_on:
        word, tone = "RUNNING", Tone.CAUTION
    joint = "in" if report.complete else "after"
    return line(
        (word, tone), "  ", (clean(report.name), Tone.STRONG), f"  {joint} {seconds(report.duration_s)}"
    )


def _figures(report: Report) -> Iterator[Line]:
    told = [one for one in report.metrics.values() if one.label]
    for group in dict.fromkeys(one.group for one in told):
        figures = [one.label.replace("{}", _short(one)) for one in told if one.group == group]
        yield from _wrapped(f"  {clean(group):<8} ", list(map(clean, figures)))
    if report.faults:
        yield line(
            "  faults   ", f"{sum(one.proven for one in report.faults)} of {len(report.faults)} proven"
        )


def _short(metric: MetricReport) -> str:
    return seconds(metric.value) if metric.unit == "s" else measured(metric)


def _wrapped(title: str, items: list[str]) -> Iterator[Line]:
    """The items in lines of at most WIDTH; the title before the first."""
    row = title
    for number, item in enumerate(items, start=1):
        word = f"{item}," if number < len(items) else item
        if len(row) + len(word) > WIDTH:
            yield line(row.rstrip())
            row = " " * len(title)
        row += f"{word} "
    if items:
        yield line(row.rstrip())


def _attention(report: Report) -> Iterator[Line]:
    if report.needs_attention:
        yield line(("needs attention:", Tone.CAUTION), f" {_count(len(report.needs_attention), 'reason')}")
        yield from (line("  - ", clean(one)) for one in report.needs_attention)


def _settling(report: Report) -> Iterator[Line]:
    """How long it was watched that nothing more happens; what was not watched to its end, and why."""
    watched = [one for one in report.settling if one.result in ("quiet", "undone_again")]
    if watched:
        again = sum(one.result == "undone_again" for one in watched)
        told = f"; {again} undone once more" if again else ": nothing more happened"
        yield line(f"watched  for {max(one.limit_s for one in watched):.3g} s after the undo{told}")
    for one in report.settling:
        if one.result == "unwatched":
            spent = f"{one.watched_s:.3g} of {one.limit_s:.3g} s"
            yield line(("unwatched:", Tone.CAUTION), f" {clean(one.what)}: {spent}, {clean(one.detail)}")


def _residue(report: Report, waiting: list[UndoReport]) -> Iterator[Line]:
    if report.residue:
        yield line(("residue:", Tone.BAD), f" {_count(len(report.residue), 'item')}")
        for item in report.residue:
            yield line("  - ", f"{clean(item.item)}: {clean(item.detail)}")
            yield line("    fix: ", (clean(item.fix), Tone.STRONG))
    elif waiting:
        yield line(("residue:", Tone.BAD), f" {_count(len(waiting), 'change')} not undone yet")
        yield from (line("  - ", clean(one.describe)) for one in waiting)
    else:
        yield line("residue: none" if report.complete else "residue: none so far")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
