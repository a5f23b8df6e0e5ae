"""`offbus local down`: end a persistent sandbox and remove it; refused while a run acts on it, unless forced.

With `--force`, the run that holds the sandbox is stopped first, as by `offbus stop`: it undoes its changes and reports.
A run that cannot end now, because its process is suspended, loses its sandbox, and reports that when it resumes.
"""

import select
import shutil
from contextlib import ExitStack
from pathlib import Path

import anyio

from offbus.cli.output import say
from offbus.errors import CouldNotRun
from offbus.journal.lock import HeldElsewhere, Holder, holder_of
from offbus.open_run import opened
from offbus.runs import RunFolder
from offbus.stop import asked_to_stop, is_suspended
from offbus_sandbox.layout import Layout
from offbus_sandbox.local.launch import stop
from offbus_sandbox.local.names import flag
from offbus_sandbox.local.sandbox_choice import used_by

__all__ = ["take_down"]


def take_down(layout: Layout, *, force: bool) -> None:
    """End every process of the sandbox, remove its folder. Raises CouldNotRun, naming the run that uses it."""
    if force:
        stop_user(layout)
    with ExitStack() as held:  # the sandbox's lock, so that nobody else uses it meanwhile
        try:
            held.enter_context(used_by(layout, "down"))
        except HeldElsewhere as err:
            holder = holder_of(layout.in_use)
            if not force or holder is None or not is_suspended(holder.pid):
                raise in_the_way(layout, holder) from err
        anyio.run(stop, layout)
        shutil.rmtree(layout.real)
        layout.forget_alias()
    if layout.real.exists():
        raise CouldNotRun(f"{layout.real} still exists", hint="remove it by hand")


def in_the_way(layout: Layout, holder: Holder | None) -> CouldNotRun:
    """The error that names the run, and how to stop it."""
    name, run = layout.real.name, run_of(holder)
    if run is None:
        return CouldNotRun(f"{name} is in use by {holder or 'another process'}")
    return CouldNotRun(
        f"{name} is in use by run {run.id}, process {holder.pid if holder else '?'}",
        hint=f"run `offbus stop {run.path}`, or `offbus local down{flag(name)} --force` to stop both",
    )


def run_of(holder: Holder | None) -> RunFolder | None:
    """The run for which the holder has locked the sandbox."""
    if holder is None or not holder.task.startswith("run "):
        return None
    return RunFolder(Path(holder.task.removeprefix("run ")))


def stop_user(layout: Layout) -> None:
    """Stop the run that holds the sandbox, and wait for its end unless it is suspended."""
    try:
        with used_by(layout, "down"):
            return
    except HeldElsewhere:
        holder = holder_of(layout.in_use)
    run = run_of(holder)
    if run is None or holder is None:
        raise in_the_way(layout, holder)
    # the sandbox's lock, which is this user's, names the run; who is asked must hold that run's lock, too
    with opened(run, trusted=True) as folder, asked_to_stop(folder) as process:
        say(f"asked run {run.id} to stop", err=True)
        if process is not None and not is_suspended(holder.pid):
            select.select([process], [], [])
