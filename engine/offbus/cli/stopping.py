"""What `offbus stop` does: find the run's process by its lock, verify that it is that process, ask it, wait.

The run's lock says which process holds it: host, boot, pid and when that process started. It is signalled through a
pidfd (pidfd_open(2)), opened before the start time is compared, so that a pid that is used again meanwhile is never
hit. The signal is SIGTERM: as a first signal it does what Ctrl-C does, and unlike SIGINT it is never a second one.
"""

import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from offbus.errors import CouldNotRun
from offbus.exits import Exit
from offbus.journal.lock import Holder
from offbus.journal.reader import read_journal
from offbus.report.closing import closing_lines
from offbus.report.fold import fold
from offbus.report.spans import plain
from offbus.runs import RunFolder, default_runs, find_run

__all__ = ["asked_to_stop", "is_suspended", "stop_run"]


def stop_run(wanted: str, *, wait: bool, runs: Path | None) -> int:
    """Ask a run to stop; the exit code. Raises UsageError, CouldNotRun."""
    folder = find_run((runs or default_runs()).resolve(), wanted)
    if not folder.in_use():
        return _not_running(folder)
    with asked_to_stop(folder) as process:
        if process is not None:
            click.echo(f"asked run {folder.id} to stop")
            if not wait:
                return Exit.PASSED
            _hint_if_suspended(folder)
            select.select([process], [], [])  # a pidfd is readable once its process has ended
    return _tell(folder)


@contextmanager
def asked_to_stop(folder: RunFolder) -> Iterator[int | None]:
    """Ask the process that holds a run to stop; a pidfd of it, None when it ended by itself. Raises CouldNotRun."""
    process = _process_of(folder)
    try:
        try:
            signal.pidfd_send_signal(process, signal.SIGTERM)
        except ProcessLookupError:
            yield None
            return
        yield process
    finally:
        os.close(process)


def _not_running(folder: RunFolder) -> int:
    if folder.unfinished.exists():
        raise CouldNotRun(
            f"run {folder.id} is not running, and did not finish",
            hint=f"finish it: offbus recover {folder.path}",
        )
    click.echo(f"run {folder.id} has ended already")
    return Exit.PASSED


def _process_of(folder: RunFolder) -> int:
    """A pidfd of the process that holds the run, verified. Raises CouldNotRun."""
    holder = folder.holder
    if holder is None:
        raise CouldNotRun(f"run {folder.id} does not say which process holds it", hint=_by_hand(folder))
    try:
        process = os.pidfd_open(holder.pid)
    except OSError as err:
        raise _unreachable(folder, holder) from err
    if not holder.is_here:
        os.close(process)
        raise _unreachable(folder, holder)
    return process


def _unreachable(folder: RunFolder, holder: Holder) -> CouldNotRun:
    return CouldNotRun(f"run {folder.id} is held by {holder}, which is not here", hint=_by_hand(folder))


def _by_hand(folder: RunFolder) -> str:
    return f"where it runs: offbus stop {folder.id}"


def _hint_if_suspended(folder: RunFolder) -> None:
    holder = folder.holder
    if holder is not None and is_suspended(holder.pid):
        click.echo(f"offbus: its process is suspended; let it go on: kill -CONT {holder.pid}", err=True)


def is_suspended(pid: int) -> bool:
    """Whether a process is stopped (Ctrl-Z, SIGSTOP): it gets a signal only when it goes on."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return state.rpartition(")")[2].split()[0] in ("T", "t")


def _tell(folder: RunFolder) -> int:
    journal = read_journal(folder.journal)
    if not journal.events:
        click.echo(f"run {folder.id} ended before its first event")
        return Exit.PASSED
    report = fold(journal.events)
    place = folder.report if folder.report.exists() else folder.journal
    click.echo(plain(closing_lines(report, place)), nl=False)
    if not report.complete:
        return Exit.RESIDUE
    return Exit.RESIDUE if report.exit == Exit.RESIDUE else Exit.PASSED
