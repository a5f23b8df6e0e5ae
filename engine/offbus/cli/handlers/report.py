"""What `offbus report` does."""

import os
import sys
from pathlib import Path

from offbus.cli.output import say
from offbus.cli.views.screen import Screen
from offbus.colour import wants_colour
from offbus.errors import CouldNotRun, UsageError
from offbus.journal.reader import Journal, read_journal, told_damage
from offbus.printable import printable_json
from offbus.report.fold import fold
from offbus.report.model import Report
from offbus.report.spans import coloured, plain
from offbus.runs import RunFolder, default_runs, find_run

__all__ = ["show_report"]


def show_report(wanted: str, *, runs: Path | None, form: str, output: Path | None) -> None:
    """Print a run's report, or write it to a file. Raises UsageError, CouldNotRun."""
    folder = find_run((runs or default_runs()).resolve(), wanted)
    journal = read_journal(folder.journal)
    for one in told_damage(journal):
        say(f"offbus: {one}", err=True)
    report = _folded(folder, journal)
    if output is not None:
        text = _formatted(report, folder, form, colour=False)
        try:
            output.write_text(text, encoding="utf-8")
        except OSError as err:
            raise UsageError(
                f"cannot write {output}: {err.strerror}", hint="choose another file with --output"
            ) from err
        return
    screen = Screen(sys.stdout)
    screen.write(_formatted(report, folder, form, colour=wants_colour(screen, os.environ)))
    screen.flush()


def _folded(folder: RunFolder, journal: Journal) -> Report:
    if not journal.events:
        raise CouldNotRun(f"run {folder.id} ended before its first event: there is nothing to report")
    try:
        return fold(journal.events)
    except (KeyError, ValueError, TypeError) as err:
        raise CouldNotRun(
            f"the journal {folder.journal} cannot be understood: {type(err).__name__}: {err}",
            hint="it was damaged or changed after it was written",
        ) from err


def _formatted(report: Report, folder: RunFolder, form: str, *, colour: bool) -> str:
    if form == "json":
        return printable_json(report.model_dump_json(indent=2)) + "\n"
    if form == "markdown":
        from offbus.report.render.markdown import markdown_report

        return markdown_report(report)
    from offbus.report.render.text import text_report

    path = folder.report if folder.report.exists() else folder.journal
    lines = text_report(report, path, goes_on=not report.complete and folder.in_use())
    return (coloured if colour else plain)(lines)
