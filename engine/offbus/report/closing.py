"""The last lines of every run: passed or failed, why, the figures that matter, what is left, where the report is."""

import shlex
from collections.abc import Iterator
from pathlib import Path

from offbus.report.figures import figure, seconds
from offbus.report.model import Report, ResidueReport
from offbus.report.spans import Line, Tone, clean, line
from offbus.runs import default_runs

__all__ = ["closing_lines", "recover_command"]

WORDS = {"passed": ("PASSED", Tone.GOOD), "failed": ("FAILED", Tone.BAD), "errored": ("ERRORED", Tone.BAD)}
LISTED_BELOW = ("residue: ", "not undone: ")
"""Reasons that the residue lines repeat, with how to mend them."""
WIDTH = 78
"""Of the lines that can be broken."""
TIME_TO = "time_to_"
TIMES = ("detect", "cordon", "drain", "remediate", "uncordon", "recover")
"""In the order in which they happen."""
REQUESTS = (
    ("requests.sent", "{} sent"),
    ("requests.failed", "{} failed"),
    ("requests.success_rate", "{} good"),
    ("requests.availability", "{} available"),
)


def closing_lines(report: Report, place: Path) -> list[Line]:
    """The closing lines; `place` is the path of report.json."""
    return [
        _headline(report),
        *(line("  - ", clean(reason)) for reason in report.reasons if not reason.startswith(LISTED_BELOW)),
        *_figures(report),
        *_residue(report),
        *_finish(report, place.parent),
        line("report: ", str(place)),
    ]


def recover_command(run: str, folder: Path) -> str:
    """What finishes a run: by its id where runs are kept anyway, else by its folder."""
    usual = folder.parent == default_runs()
    return f"offbus recover {run if usual else shlex.quote(str(folder))}"


def _headline(report: Report) -> Line:
    word, tone = WORDS.get(report.verdict, ("ABORTED", Tone.BAD))
    interrupted = any(one.lane == "run" and one.subject == "signal" for one in report.timeline)
    if interrupted:
        word, tone = "INTERRUPTED", Tone.CAUTION
    joint = "in" if report.complete and not interrupted else "after"
    took = f"  {joint} {seconds(report.duration_s)}"
    return line((word, tone), "  ", (clean(report.name), Tone.STRONG), took)


def _figures(report: Report) -> Iterator[Line]:
    times = [
        f"{name} {seconds(report.metrics[TIME_TO + name].value)}"
        for name in TIMES
        if TIME_TO + name in report.metrics
    ]
    yield from _wrapped("  time to  ", times)
    requests = [_filled(report, name, text) for name, text in REQUESTS if name in report.metrics]
    yield from _wrapped("  requests ", requests)
    if report.faults:
        yield line(
            "  faults   ", f"{sum(one.proven for one in report.faults)} of {len(report.faults)} proven"
        )


def _wrapped(title: str, items: list[str]) -> Iterator[Line]:
    """The items in lines of at most WIDTH; the title before the first."""
    row = title
    for number, item in enumerate(items, start=1):
        item += "," if number < len(items) else ""
        if len(row.rstrip()) + 1 + len(item) > WIDTH:
            yield line(row.rstrip())
            row = " " * len(title)
        row += f"{item} "
    if items:
        yield line(row.rstrip())


def _filled(report: Report, name: str, text: str) -> str:
    metric = report.metrics[name]
    return text.format(figure(name, metric.value, metric.unit))


def _residue(report: Report) -> Iterator[Line]:
    waiting = [one for one in report.undos if one.result not in ("restored", "nothing")]
    if report.residue:
        yield line(("residue:", Tone.BAD), f" {_count(len(report.residue), 'item')}")
        for item in report.residue:
            yield from _item(item)
    elif waiting:
        yield line(("residue:", Tone.BAD), f" {_count(len(waiting), 'change')} not undone yet")
        yield from (line("  - ", clean(one.describe)) for one in waiting)
    else:
        yield line("residue: none" if report.complete else "residue: none so far")


def _item(item: ResidueReport) -> Iterator[Line]:
    yield line("  - ", f"{clean(item.item)}: {clean(item.detail)}")
    yield line("    mend: ", (clean(item.mend), Tone.STRONG))


def _finish(report: Report, folder: Path) -> Iterator[Line]:
    """How to finish a run that did not end; what is left of one that did stands beside each item."""
    if not report.complete:
        yield line("finish it: ", (recover_command(report.run, folder), Tone.STRONG))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
