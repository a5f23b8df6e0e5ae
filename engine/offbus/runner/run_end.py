"""The end of a run: what is left behind, the verdict, the report. Shared by the runner and by `recover`."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

import anyio

from offbus.abilities import OwnsRun, ability
from offbus.environment import Environment
from offbus.errors import CouldNotRun, JournalError, OffbusError, TakenOver
from offbus.exits import Exit
from offbus.journal.codec import TooLarge, plain
from offbus.journal.kinds import FINGERPRINT, OBSERVED, PHASE, RESIDUE, RUN_ENDED
from offbus.journal.writer import JournalWriter
from offbus.open_run import OpenRun
from offbus.report.fold import Fold
from offbus.report.model import Report
from offbus.runner.fingerprint_diff import differences, external_change_of, fix_of, value_of
from offbus.runner.undo_runner import UndoEntry
from offbus.undo import Undo

__all__ = ["CLOSING", "UNCOMPARED", "end_run", "read_back_and_close", "write_report"]

CLOSING = timedelta(seconds=60)
"""For reading the environment back and closing it, once the undo is over. Beyond `undo_timeout`: a documented slack."""
UNCOMPARED = "fingerprint"
"""The item of residue that says that nothing was compared with the state before the run."""


async def read_back_and_close(
    environment: Environment,
    journal: JournalWriter,
    open_entries: Iterable[UndoEntry],
    before: dict[str, Any] | None,
    *,
    recorded: Sequence[Undo] | None,
    clean: bool = True,
) -> None:
    """Report what is not as it was, then close the environment: for good only when nothing is left.

    `recorded`: all undos of the run; None when they are not all known. `clean` is False when the caller knows of
    something else that is not undone.
    """
    entries = list(open_entries)
    journal.append(PHASE({"name": "close"}))
    with anyio.move_on_after(CLOSING.total_seconds(), shield=True) as scope:
        taken = await _taken_over(environment)
        if taken is not None:
            clean = not entries  # the new owner undoes them
            if entries:
                detail = f"{taken.message}, so {len(entries)} undos are left to that process"
                _residue(journal, f"run {journal.run}", detail)
        else:
            for entry in entries:
                detail = entry.result.detail if entry.result is not None else entry.error or "it failed"
                _residue(journal, entry.title, f"not undone: {detail}")
            clean &= not entries
            clean &= await _compare(environment, journal, before, recorded)
        try:
            await environment.close(finished=clean and taken is None)
        except Exception as err:  # noqa: BLE001  an environment that cannot be closed is residue
            _residue(journal, "environment", f"it could not be closed: {err}")
    if scope.cancelled_caught:
        _residue(journal, "environment", f"it was not closed within {CLOSING.total_seconds():g} s")


def end_run(journal: JournalWriter, fold: Fold, folder: OpenRun) -> Report:
    """Write run_ended and fold the report; the folder is no longer unfinished when nothing is left."""
    verdict = fold.verdict(finishing=True)
    if verdict.verdict == "aborted":
        raise AssertionError("a run that finishes is not aborted")
    reasons, status = list(verdict.reasons), int(verdict.exit)
    journal.append(RUN_ENDED({"verdict": verdict.verdict, "reasons": reasons, "exit": status}))
    journal.close()
    report = fold.report()
    # A broken journal may lack its last events, and who looks for unfinished runs has nothing but the disk.
    if report.exit != Exit.RESIDUE and journal.broken is None:
        folder.finish()
    return report


def write_report(report: Report, folder: OpenRun) -> None:
    """Replace the report atomically. Raises CouldNotRun."""
    try:
        folder.replace(folder.report, report.model_dump_json(indent=2) + "\n")
    except OSError as err:
        raise CouldNotRun(f"the report {folder.report} cannot be written: {err.strerror}") from err


async def _taken_over(environment: Environment) -> TakenOver | None:
    """Who owns the run now, when that is another process; any other error shows in the comparison."""
    owner = ability(environment, OwnsRun)
    if owner is None:
        return None
    try:
        await owner.may_undo()
    except TakenOver as err:
        return err
    except OffbusError:
        return None
    return None


async def _compare(
    environment: Environment,
    journal: JournalWriter,
    before: dict[str, Any] | None,
    recorded: Sequence[Undo] | None,
) -> bool:
    if before is None:
        return True
    try:
        after = await _read_back(environment, journal)
    except JournalError as err:
        detail = f"it was read back, and nothing was compared with the state before the run: {err}"
        _residue(journal, UNCOMPARED, detail)
        return False
    except Exception as err:  # noqa: BLE001  what cannot be read back is not known to be restored
        detail = f"nothing was compared: the environment cannot be read back: {type(err).__name__}: {err}"
        _residue(journal, UNCOMPARED, detail)
        return False
    clean = True
    for item, detail in differences(before, after):
        why = external_change_of(environment, item, before, after, recorded)
        if why is not None:
            journal.append(
                OBSERVED({"lane": "others", "subject": item, "to": detail, "evidence": {"why": why}})
            )
            continue
        _residue(journal, item, detail, fix_of(environment, item, value_of(before, item)))
        clean = False
    return clean


async def _read_back(environment: Environment, journal: JournalWriter) -> dict[str, Any]:
    """The fingerprint as the journal has it: it may be large, and no second copy is kept.

    One that has grown too large for a journal is compared all the same, and not kept: others made that, and what this
    run left must not hide behind it.
    """
    items = await environment.fingerprint()
    try:
        return FINGERPRINT.data(journal.append(FINGERPRINT({"when": "after", "items": items})))["items"]
    except TooLarge as err:
        said = f"compared with the one from before the run, and not kept: {err}"
        journal.append(OBSERVED({"lane": "run", "subject": "fingerprint", "to": said}))
        return {name: plain(value) for name, value in items.items()}  # one by one: no copy of its text


def _residue(journal: JournalWriter, item: str, detail: str, fix: str | None = None) -> None:
    fix = fix or f"offbus recover {journal.run}"
    journal.append(RESIDUE({"item": item, "detail": detail, "fix": fix}))
