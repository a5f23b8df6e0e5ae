"""What `offbus recover` does."""

import asyncio
import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import anyio
import click

from offbus.abilities import SaysWhere, ability
from offbus.cli.output import say
from offbus.cli.problems import exit_code
from offbus.cli.views import View, make_view
from offbus.errors import OffbusError, UsageError
from offbus.exits import Exit, worst
from offbus.journal.reader import told_damage
from offbus.open_run import OpenRun, opened
from offbus.plugins import installed
from offbus.recovery.recover import Recovery, plan_recovery, recover
from offbus.report.gaps import RESOLVED
from offbus.report.model import Report
from offbus.runner.clock import SystemClock
from offbus.runner.run_end import write_report
from offbus.runner.settling import Settling
from offbus.runner.signals import stop_on_signals
from offbus.runs import RunFolder, default_runs, environment_lock, find_run, runs_in
from offbus.undo import refused

__all__ = ["EVERY", "recover_folder", "recover_open", "recover_runs", "show_folder"]


EVERY = "all"
"""Names every unfinished run."""
Confirm = Callable[[OpenRun, Recovery], None]
"""Raises UsageError when a run is not to be recovered."""
Signalled = Callable[[str], None]
"""Told of a signal during a recovery, which is finished all the same."""


def recover_runs(
    wanted: str,
    *,
    plan_only: bool,
    runs: Path | None,
    trust: bool = False,
    yes: bool = False,
    settle: bool = True,
) -> int:
    """Recover one run, or all that no process holds, the newest first; the exit code. Raises UsageError.

    With `trust`, also from folders that others may have written, once each is confirmed: by `yes`, or at the terminal.
    """
    base = (runs or default_runs()).resolve()
    folders = _to_recover(base) if wanted == EVERY else [find_run(base, wanted)]
    if not folders:
        why = f"no unfinished run in {base}" if base.is_dir() else f"there is no folder {base}"
        say(f"nothing to recover: {why}")
        return Exit.PASSED
    if plan_only:
        return worst(*map(show_folder, folders))
    confirm = partial(_confirm, yes=yes) if trust else None
    return worst(
        *(exit_code(partial(recover_folder, base, folder, confirm, settle=settle)) for folder in folders)
    )


def _to_recover(base: Path) -> list[RunFolder]:
    """Unfinished runs that no process holds, newest first. Those still running are named; alone, they are returned."""
    newest_first = reversed(runs_in(base))
    unfinished = [folder for folder in newest_first if folder.unfinished.exists()]
    going_on = [folder for folder in unfinished if folder.in_use()]
    to_recover = [folder for folder in unfinished if folder not in going_on]
    for folder in going_on if to_recover else ():
        say(f"offbus: run {folder.id} is still running ({folder.holder}): offbus stop {folder.id}", err=True)
    return to_recover or going_on


def recover_folder(
    base: Path,
    folder: RunFolder,
    confirm: Confirm | None = None,
    *,
    settle: bool = True,
    signalled: Signalled | None = None,
) -> Exit:
    """Recover one run; with `confirm`, also from a folder that others may have written. Raises OffbusError."""
    with opened(folder, trusted=confirm is not None) as run:
        return recover_open(base, run, confirm, settle=settle, signalled=signalled)


def recover_open(
    base: Path,
    folder: OpenRun,
    confirm: Confirm | None = None,
    *,
    settle: bool = True,
    signalled: Signalled | None = None,
) -> Exit:
    """Recover a run whose folder is open. Raises OffbusError.

    It holds the environment's lock too: no new run begins there meanwhile, and no copy of this run is recovered.
    """
    plan = plan_recovery(folder)
    if plan.finished:
        folder.finish()
        say(f"run {folder.id} finished and left nothing behind: nothing to recover")
        return Exit.PASSED
    if confirm is not None:
        confirm(folder, plan)
    head = plan.fold.head
    with ExitStack() as held:
        if not folder.in_use():  # `recover` itself says who holds the run
            identity = folder.identity or head["identity"]
            held.enter_context(environment_lock(base, identity, "recover"))
        view = held.enter_context(make_view("lines", head["name"], [], past=plan.journal.events))
        confirmed = plan if confirm else None
        finish = partial(
            _finish, folder, view, confirmed=confirmed, settle=settle, signalled=signalled or (lambda _: None)
        )
        report = anyio.run(finish)
    return _tell(folder, report)


def _tell(folder: OpenRun, report: Report) -> Exit:
    unwritten = [stop.reason for stop in report.stops if stop.cause == "journal"]
    written = exit_code(partial(write_report, report, folder))
    for one in report.residue:
        say(f"residue: {one.item}: {one.detail}")
        say(f"  fix: {one.fix}")
    undone = sum(undo.result in RESOLVED for undo in report.undos)
    residue = f"{len(report.residue)} left" if report.residue else "residue: none"
    say(f"recovered run {folder.id}: {undone} of {len(report.undos)} undone, {residue}")
    if folder.is_elsewhere:
        say(
            f"offbus: {folder.path} leads elsewhere by now: the report is in the folder that was there",
            err=True,
        )
    elif written is Exit.PASSED:
        say(f"report: {folder.report}")
    if unwritten:
        say(f"offbus: {unwritten[-1]}; free disk space, then: offbus recover {folder.path}", err=True)
    open_left = Exit.RESIDUE if report.exit == Exit.RESIDUE else Exit.PASSED
    return worst(open_left, written, Exit.COULD_NOT_RUN if unwritten else Exit.PASSED)


async def _finish(
    folder: OpenRun, view: View, *, confirmed: Recovery | None, settle: bool, signalled: Signalled
) -> Report:
    loop = asyncio.get_running_loop()
    parting = f"offbus: exited before everything was undone; finish with: offbus recover {folder.path}"
    settling = Settling()
    if not settle:
        settling.end("--no-settle")

    def on_signal(signal: str) -> None:
        signalled(signal)
        if not settling.going_on:
            view.progress(None, f"{signal}: the undo continues; a second Ctrl-C exits at once")
        settling.end(f"ended by {signal}")

    with stop_on_signals(loop.call_soon_threadsafe, on_signal, lambda: parting):
        return await recover(
            folder,
            SystemClock(),
            listeners=[view.event],
            progress=view.progress,
            confirmed=confirmed,
            settling=settling,
        )


def _confirm(folder: OpenRun, plan: Recovery, *, yes: bool) -> None:
    """Name everything that would be acted on, and ask. Raises UsageError unless it is confirmed."""
    show_plan(folder, plan)
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(
            f"--trust asks before it undoes what {folder.path} says, and there is no terminal",
            hint="once the list above is right: --trust --yes",
        )
    if not click.confirm("Undo this, with your rights?", err=True):
        raise UsageError("not confirmed: nothing was changed")


def show_folder(folder: RunFolder) -> Exit:
    """Show what would be undone; only reads, also a folder of somebody else."""
    show_plan(folder, plan_recovery(folder))
    return Exit.PASSED


def show_plan(folder: RunFolder, plan: Recovery) -> None:
    """What is left to undo, in the words of the undo types: nothing that the journal says about itself."""
    todo = []
    # first all disarms, then the rest in reverse order, as they would be undone
    for entry in sorted(plan.entries, key=lambda entry: (entry.undo.phase != "disarm", -entry.number)):
        why = refused(entry.undo, plan.journal.run or "")
        todo.append(f"{entry.title} ({entry.undo.phase})" + (f": {why}" if why else ""))
    todo += [f"{one.title}: not possible here: {one.why}" for one in plan.missing]
    for one in told_damage(plan.journal):
        say(f"offbus: {one}", err=True)
    say(f"run {folder.id}: " + (f"{len(todo)} to undo" if todo else "nothing to undo"))
    for line in todo:
        say(f"  {line}")
    if todo or plan.fold.opened:
        say(f"  in the environment {_where(plan)}")


def _where(plan: Recovery) -> str:
    """In which environment, and where that is, as its type says."""
    name = plan.fold.opened
    if name is None:
        return "that it does not name"
    try:
        opener = installed().environment_type(name).opener
    except OffbusError as err:
        return f"{name} ({err.message})"
    says = ability(opener, SaysWhere)
    return name if says is None else f"{name}: {says.where(plan.fold.environment or {})}"
