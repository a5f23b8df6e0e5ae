"""Tells what a recovery cannot undo, as residue with the way to fix it, and what it need not: its place is gone.

Nothing is guessed, nothing is left out.
"""

from collections.abc import Iterable

from offbus.journal.events import Event, EventKind
from offbus.journal.writer import JournalWriter
from offbus.report.fold import Fold
from offbus.runner.undo_runner import UndoEntry
from offbus.runs import RunFolder

__all__ = ["resolve_gone", "tell_lost", "tell_missing", "tell_unreachable"]


def resolve_gone(
    writer: JournalWriter, entries: Iterable[UndoEntry], missing: Iterable[Event], by: str, why: str
) -> None:
    """The place is proven to be gone: no undo finds anything to do there."""
    numbered = [(entry.number, entry.attempts + 1, entry.step) for entry in entries]
    numbered += [(record["data"]["undo"], 1, record.get("step")) for record in missing]
    for number, attempt, step in numbered:
        one = {"undo": number, "attempt": attempt}
        writer.append(EventKind.UNDO_STARTED, {**one, "by": by}, step=step)
        nothing = {**one, "result": "nothing", "detail": why, "evidence": {}}
        writer.append(EventKind.UNDO_ENDED, nothing, step=step)


def tell_missing(writer: JournalWriter, records: Iterable[Event]) -> None:
    """Undos whose type cannot be loaded here: the package that brings it is named."""
    for record in records:
        data = record["data"]
        detail = f"undo type {data['type']} cannot be loaded here; it comes with {data['distribution']}"
        fix = f"install {data['distribution']}, then: offbus recover {writer.run}"
        _tell(writer, data["describe"], detail, fix)


def tell_unreachable(
    writer: JournalWriter,
    fold: Fold,
    entries: Iterable[UndoEntry],
    missing: Iterable[Event],
    folder: RunFolder,
) -> None:
    """Undos of a run whose environment is not known, because the lines that named it are damaged."""
    titles = [entry.title for entry in entries] + [record["data"]["describe"] for record in missing]
    for title in titles:
        detail = "not undone: the journal lost where the run acted"
        _tell(writer, title, detail, f"do it by hand; then: rm {folder.unfinished}")
    if fold.gaps.missing and not titles:
        detail = "the journal lost where the run acted, and whether it changed anything"
        _tell(writer, "the environment", detail, f"look at it by hand; then: rm {folder.unfinished}")


def tell_lost(writer: JournalWriter, fold: Fold, folder: RunFolder) -> None:
    """What damaged lines may have held, unless the place was read back and is as it was before the run."""
    if fold.as_before or fold.environment is None:
        return
    known = "is not as it was before" if fold.fingerprint is not None else "cannot be compared with before"
    for number in fold.gaps.lost_undos():
        detail = f"its record is damaged, and the place {known}"
        _tell(writer, f"undo {number}", detail, f"look by hand; then: rm {folder.unfinished}")
    for told in fold.gaps.told():
        detail = f"{told}; what was changed is not known, and the place {known}"
        _tell(writer, "the journal", detail, f"look by hand; then: rm {folder.unfinished}")


def _tell(writer: JournalWriter, item: str, detail: str, fix: str) -> None:
    writer.append(EventKind.RESIDUE, {"item": item, "detail": detail, "fix": fix})
