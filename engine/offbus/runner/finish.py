"""The end of a run: what is left behind, the verdict, the report. Shared by the runner and by `recover`."""

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio

from offbus.environment import Environment
from offbus.errors import CouldNotRun, OffbusError
from offbus.journal.events import EventKind
from offbus.journal.writer import JournalWriter
from offbus.report.fold import Fold
from offbus.report.model import Report
from offbus.runner.residue import differences
from offbus.runner.undoing import UndoEntry
from offbus.runs import RunFolder

__all__ = ["end_run", "settle_place", "write_report"]


async def settle_place(
    environment: Environment,
    journal: JournalWriter,
    open_entries: Iterable[UndoEntry],
    before: dict[str, Any] | None,
    *,
    bound: timedelta,
) -> None:
    """Report what is not as it was, then close the environment: for good only when nothing is left."""
    clean = _report_open(journal, open_entries)
    journal.append(EventKind.PHASE, {"name": "close"})
    with anyio.move_on_after(bound.total_seconds(), shield=True) as scope:
        clean &= await _compare(environment, journal, before)
        try:
            await environment.close(finished=clean)
        except Exception as err:  # noqa: BLE001  an environment that cannot be closed is left behind: residue
            _residue(journal, "environment", f"it could not be closed: {err}")
    if scope.cancelled_caught:
        _residue(journal, "environment", f"it was not closed within {bound.total_seconds():g} s")


def end_run(journal: JournalWriter, fold: Fold, folder: RunFolder) -> Report:
    """Write run_ended and fold the report; the folder is no longer unfinished when nothing is left."""
    verdict = fold.verdict(finishing=True)
    data = {"verdict": verdict.verdict, "reasons": list(verdict.reasons), "exit": int(verdict.exit)}
    journal.append(EventKind.RUN_ENDED, data)
    report = fold.report()
    journal.close()
    if not report.residue and not fold.pending_undos() and journal.broken is None:
        folder.unfinished.unlink(missing_ok=True)
    return report


def write_report(report: Report, path: Path) -> None:
    """Replace the report in one go. Raises CouldNotRun."""
    draft = path.with_suffix(".json.part")
    try:
        draft.write_text(report.model_dump_json(indent=2) + "\n", encoding="utf-8")
        draft.replace(path)
    except OSError as err:
        raise CouldNotRun(f"the report {path} cannot be written: {err.strerror}") from err


def _report_open(journal: JournalWriter, entries: Iterable[UndoEntry]) -> bool:
    clean = True
    for entry in entries:
        detail = entry.result.detail if entry.result is not None else entry.error or "it failed"
        _residue(journal, entry.undo.describe(), f"not undone: {detail}")
        clean = False
    return clean


async def _compare(environment: Environment, journal: JournalWriter, before: dict[str, Any] | None) -> bool:
    if before is None:
        return True
    try:
        after = await environment.fingerprint()
    except OffbusError as err:
        _residue(journal, "fingerprint", f"the place could not be read back: {err}")
        return False
    journal.append(EventKind.FINGERPRINT, {"when": "after", "items": after})
    found = differences(before, after)
    for item, detail in found:
        _residue(journal, item, detail)
    return not found


def _residue(journal: JournalWriter, item: str, detail: str) -> None:
    data = {"item": item, "detail": detail, "mend": f"offbus recover {journal.run}"}
    journal.append(EventKind.RESIDUE, data)
