"""What `offbus recover --env NAME` does: imports runs whose events an environment stored, and finishes them from here.

A run whose folder is on this machine is finished from that folder: its journal knows more. One whose journal cannot be
read is finished from what the environment has stored, in a folder of its own; then the first one has nothing left to
undo, either. A folder that was made here is removed again when another process turns out to hold the run.
"""

import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import anyio

from offbus.abilities import FindsRuns, UnfinishedRun, ability
from offbus.cli.handlers.recover import EVERY, recover_open, show_folder
from offbus.cli.output import say
from offbus.cli.problems import exit_code
from offbus.errors import CouldNotRun, JournalError, OffbusError, UsageError
from offbus.exits import Exit, worst
from offbus.journal.codec import NewerFormat
from offbus.journal.reader import read_journal
from offbus.language.check.cli_environment import named_options
from offbus.open_run import opened
from offbus.plugins import installed
from offbus.recovery.import_run import bring_here
from offbus.runs import default_runs, runs_in

__all__ = ["recover_found", "recover_from"]


def recover_from(
    env: str,
    sets: Mapping[str, str],
    wanted: str,
    *,
    plan_only: bool,
    runs: Path | None,
    settle: bool = True,
) -> int:
    """Recover one run that an environment has stored, or all; the exit code. Raises UsageError, CouldNotRun."""
    kind, options = named_options(env, sets, installed())
    opener = ability(kind.opener, FindsRuns)
    if opener is None:
        raise UsageError(
            f"the environment {env} stores no events of its runs",
            hint="recover on the machine where it ran, or from a copy of the run's folder",
        )
    found = anyio.run(partial(opener.unfinished_runs, options))
    if not found:
        say(f"nothing to recover: {env} has no unfinished run")
        return Exit.PASSED
    chosen = found if wanted == EVERY else _chosen(found, wanted)
    base = (runs or default_runs()).resolve()
    play = _show if plan_only else partial(recover_found, base, settle=settle)
    return worst(*(exit_code(partial(play, one)) for one in chosen))


def _chosen(found: Sequence[UnfinishedRun], wanted: str) -> Sequence[UnfinishedRun]:
    matching = [one for one in found if wanted == "latest" or one.run.startswith(wanted)]
    if len(matching) == 1:
        return matching
    names = ", ".join(f"{one.run} (held by {one.holder})" for one in found)
    what = "several runs found" if matching else f"no run {wanted!r} found; there are"
    raise UsageError(f"{what}: {names}", hint=f"name one, or {EVERY}")


def _show(run: UnfinishedRun) -> Exit:
    stored = f"; {run.damage}" if run.damage else "" if run.events else "; no events stored"
    say(f"run {run.run}: held by {run.holder}{stored}")
    if run.damage:
        return Exit.COULD_NOT_RUN
    if run.events:
        with (
            tempfile.TemporaryDirectory(prefix="offbus-recover-") as scratch,
            bring_here(Path(scratch), run) as folder,
        ):
            try:
                show_folder(folder)
            finally:
                folder.remove()
    return Exit.PASSED


def recover_found(base: Path, run: UnfinishedRun, *, settle: bool) -> Exit:
    """Recover one run that an environment has stored. Raises OffbusError."""
    here = next((one for one in runs_in(base) if one.id == run.run and one.unfinished.exists()), None)
    if here is None:
        return _from_stored(base, run, settle=settle)
    with opened(here) as folder:
        try:
            read_journal(folder.journal, folder.opener)
        except NewerFormat:
            raise
        except JournalError as err:
            if not run.events or folder.in_use():
                raise
            say(
                f"offbus: {err.message}; run {run.run} is recovered by what the environment has stored",
                err=True,
            )
            outcome = _from_stored(base, run, settle=settle)
            folder.finish()
            return outcome
        return recover_open(base, folder, settle=settle)


def _from_stored(base: Path, run: UnfinishedRun, *, settle: bool) -> Exit:
    if run.damage:
        hint = "recover it on the machine where it ran, or from a copy of the run's folder"
        raise CouldNotRun(f"run {run.run}: {run.damage}", hint=hint)
    with bring_here(base, run) as folder:
        try:
            return recover_open(base, folder, settle=settle)
        except OffbusError:
            folder.remove()
            raise
