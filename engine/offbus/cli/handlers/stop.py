"""What `offbus stop` does: find the run's process by its lock, ask it, wait for it (offbus.stop)."""

import select
from pathlib import Path

import click

from offbus.cli.output import say
from offbus.errors import CouldNotRun
from offbus.exits import Exit
from offbus.journal.reader import read_journal
from offbus.open_run import OpenRun, opened
from offbus.report.fold import fold
from offbus.report.spans import plain
from offbus.report.summary import closing_lines
from offbus.runs import default_runs, find_run
from offbus.stop import asked_to_stop, is_suspended

__all__ = ["stop_run"]


def stop_run(wanted: str, *, wait: bool, runs: Path | None) -> int:
    """Ask a run to stop; the exit code. Raises UsageError, CouldNotRun.

    Not by a folder of somebody else: its lock could name any process of this user.
    """
    with opened(find_run((runs or default_runs()).resolve(), wanted)) as folder:
        return _stop(folder, wait=wait)


def _stop(folder: OpenRun, *, wait: bool) -> int:
    if not folder.in_use():
        if folder.unfinished.exists():
            raise CouldNotRun(
                f"run {folder.id} is not running, and did not finish",
                hint=f"finish it: offbus recover {folder.path}",
            )
        say(f"run {folder.id} has already ended")
        return Exit.PASSED
    with asked_to_stop(folder) as process:
        if process is not None:
            say(f"asked run {folder.id} to stop")
            if not wait:
                return Exit.PASSED
            holder = folder.holder
            if holder is not None and is_suspended(holder.pid):
                resume = f"its process is suspended; resume it: kill -CONT {holder.pid}"
                say(f"offbus: {resume}", err=True)
            select.select([process], [], [])  # a pidfd is readable once its process has ended
    return _tell(folder)


def _tell(folder: OpenRun) -> int:
    journal = read_journal(folder.journal, folder.opener)
    if not journal.events:
        say(f"run {folder.id} ended before its first event")
        return Exit.PASSED
    report = fold(journal.events)
    path = folder.report if folder.report.exists() else folder.journal
    click.echo(plain(closing_lines(report, path)), nl=False)
    if not report.complete:
        return Exit.RESIDUE
    return Exit.RESIDUE if report.exit == Exit.RESIDUE else Exit.PASSED
