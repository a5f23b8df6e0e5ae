"""What `offbus residue` does: open an environment, read its fingerprint, compare. Nothing is changed.

What the environment journals meanwhile goes into a scratch journal that is thrown away: the run's own is not written.
"""

import json
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import anyio

from offbus.abilities import OnlyLooks, ability
from offbus.cli.output import say
from offbus.environment import Environment, RunHandle
from offbus.errors import CouldNotRun, JournalError, OffbusError, UsageError, only_one
from offbus.exits import Exit
from offbus.files import read_bounded
from offbus.journal.bounds import MOST_VALUES
from offbus.journal.writer import JournalWriter
from offbus.json_values import has_more_values, parsed
from offbus.language.check.cli_environment import named_options
from offbus.open_run import opened
from offbus.plugins import installed
from offbus.recovery.recover import plan_recovery
from offbus.report.summary import recover_command
from offbus.runner.clock import SystemClock
from offbus.runner.fingerprint_diff import differences, external_change_of, fix_of, value_of
from offbus.runner.recorder import RunRecorder
from offbus.runner.run_end import CLOSING
from offbus.runs import RunFolder, default_runs, find_run, unfinished_runs
from offbus.undo import Undo

__all__ = ["compare_named", "compare_run", "read_fingerprint"]

LARGEST = 1 << 28
"""Bytes of a saved fingerprint: one of 20,000 objects has about 10 MB."""


class Opening(Protocol):
    """Opens the environment, for a run's handle."""

    def __call__(self, run: RunHandle, /, *, run_dir: str) -> AbstractAsyncContextManager[Environment]: ...


@dataclass(frozen=True, slots=True)
class Finding:
    """An item that is not as it was."""

    item: str
    detail: str
    external: str | None
    """Why somebody else made the change."""
    fix: str | None
    """The command that fixes it."""


def compare_run(wanted: str, *, runs: Path | None) -> int:
    """Compare a run's environment with its fingerprint from before the run; the exit code."""
    found_run = find_run((runs or default_runs()).resolve(), wanted)
    with opened(found_run) as folder, folder.lock("residue"):
        plan = plan_recovery(folder)
        before, state, name = plan.fold.fingerprint, plan.fold.environment, plan.fold.opened
        if state is None or name is None:
            raise CouldNotRun(f"run {folder.id} never opened an environment: there is nothing to compare")
        if before is None:
            raise CouldNotRun(f"run {folder.id} took no fingerprint before its first step")
        opener = installed().environment_type(name).opener
        looks = ability(opener, OnlyLooks)
        finished = plan.finished
        opening = partial(opener.reopen if looks is None else looks.look_again, state)
        found = _look(
            name,
            opening,
            before,
            run=folder.id,
            run_dir=folder.path,
            finished=finished,
            recorded=plan.recorded,
        )
    return _tell(found, f"run {folder.id}", None if finished else recover_command(folder.id, folder.path))


def compare_named(
    name: str, sets: Mapping[str, str], *, save: Path | None, against: Path | None, runs: Path | None = None
) -> int:
    """Save the fingerprint of a named environment, or compare it with a saved one; the exit code.

    It says nothing of what unfinished runs left in other environments (a sandbox of their own): they are named.
    """
    kind, options = named_options(name, sets, installed())
    before = _saved(against) if against is not None else {}
    with tempfile.TemporaryDirectory(prefix="offbus-residue-") as scratch:
        looks = ability(kind.opener, OnlyLooks)
        opening = partial(kind.opener.open if looks is None else looks.look, options, kind.guards())
        if save is None:
            elsewhere = _runs_elsewhere(runs, kind.opener.identity(options))
            found = _look(
                name, opening, before, run="residue", run_dir=Path(scratch), finished=True, recorded=None
            )
            code = _tell(found, name, None)
            for one in elsewhere:
                say(
                    f"not compared: run {one.id} did not finish, in another environment: offbus residue {one.path}"
                )
            return code
        now = anyio.run(partial(read_fingerprint, name, opening, "residue", Path(scratch), True))[0]
    try:
        text = json.dumps(now, indent=1, sort_keys=True) + "\n"
    except TypeError as err:
        raise JournalError(f"the fingerprint of {name} cannot be saved: {err}") from err
    try:
        save.write_text(text, encoding="utf-8")
    except OSError as err:
        raise UsageError(
            f"cannot write {save}: {err.strerror}", hint="choose another file with --save"
        ) from err
    say(f"saved {len(now)} items of {name} to {save}")
    return Exit.PASSED


def _runs_elsewhere(runs: Path | None, identity: str) -> list[RunFolder]:
    """Unfinished runs whose environment is not this one, or not known."""
    base = (runs or default_runs()).resolve()
    return [folder for folder in unfinished_runs(base) if folder.identity != identity]


def _look(
    name: str,
    opening: Opening,
    before: dict[str, Any],
    *,
    run: str,
    run_dir: Path,
    finished: bool,
    recorded: Sequence[Undo] | None,
) -> list[Finding]:
    now, environment = anyio.run(partial(read_fingerprint, name, opening, run, run_dir, finished))
    return [
        Finding(
            item,
            detail,
            external_change_of(environment, item, before, now, recorded),
            fix_of(environment, item, value_of(before, item)),
        )
        for item, detail in differences(before, now)
    ]


async def read_fingerprint(
    name: str, opening: Opening, run: str, run_dir: Path, finished: bool
) -> tuple[dict[str, Any], Environment]:
    """The fingerprint and its environment, which is closed. Raises CouldNotRun when it cannot be read."""
    with ExitStack() as held:
        scratch = held.enter_context(tempfile.TemporaryDirectory(prefix="offbus-residue-"))
        journal = JournalWriter(Path(scratch, "journal.jsonl"), run, SystemClock())
        held.callback(journal.close)
        handle = RunRecorder(
            journal, 1, {}, environment=name, abort=lambda _reason: None, progress=lambda _step, _text: None
        )
        try:
            async with opening(handle, run_dir=str(run_dir)) as environment:
                found = await environment.fingerprint()
                with anyio.move_on_after(CLOSING.total_seconds(), shield=True) as closing:
                    await environment.close(finished=finished)
                if closing.cancelled_caught:
                    raise CouldNotRun(f"{name} was not closed within {CLOSING.total_seconds():g} s")
                return found, environment
        except Exception as err:
            one = only_one(err)
            remaining = "".join(f"; left: {one.item}: {one.detail}" for one in handle.leftovers)
            if isinstance(one, OffbusError) and not remaining:
                raise one from None
            why = str(one) if isinstance(one, OffbusError) else f"{type(one).__name__}: {one}"
            raise CouldNotRun(f"{name} cannot be read: {why}{remaining}") from err


def _tell(found: list[Finding], what: str, recover: str | None) -> int:
    for one in (one for one in found if one.external):
        say(f"changed by others: {one.item}: {one.detail} ({one.external})")
    remaining = [one for one in found if not one.external]
    for one in remaining:
        say(f"residue: {one.item}: {one.detail}")
        if one.fix or recover:
            say(f"  fix: {one.fix or recover}")
    say(f"{what}: {len(remaining)} left" if remaining else f"{what}: residue: none")
    return Exit.RESIDUE if remaining else Exit.PASSED


def _saved(path: Path) -> dict[str, Any]:
    try:
        text = read_bounded(path, LARGEST)
        small = len(text) <= LARGEST and not has_more_values(text, MOST_VALUES)
        held = parsed(text) if small else None
    except OSError as err:
        raise UsageError(f"cannot read {path}: {err.strerror}") from err
    except (ValueError, RecursionError) as err:
        raise UsageError(f"{path} is not a saved fingerprint: {err}", hint="save one with --save") from err
    if not isinstance(held, dict):
        raise UsageError(f"{path} is not a saved fingerprint", hint="save one with --save")
    return held
