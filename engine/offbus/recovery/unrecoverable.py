"""Reports what a recovery cannot undo, as residue with its fix, and what it need not: the environment is gone.

Nothing is guessed, nothing is left out.
"""

from collections.abc import Iterable

from offbus.journal.events import Event, EventKind
from offbus.journal.writer import JournalWriter
from offbus.report.fold import Fold
from offbus.runner.undo_runner import UndoEntry
from offbus.runs import RunFolder

__all__ = ["report_lost", "report_missing", "report_unreachable", "resolve_gone"]


def resolve_gone(
    writer: JournalWriter, entries: Iterable[UndoEntry], missing: Iterable[Event], by: str, why: str
) -> None:
    """The environment is proven to be gone: no undo finds anything to do there."""
    numbered = [(entry.number, entry.attempts + 1, entry.step) for entry in entries]
    numbered += [(record["data"]["undo"], 1, record.get("step")) for record in missing]
    for number, attempt, step in numbered:
        one = {"undo": number, "attempt": attempt}
        writer.append(EventKind.UNDO_STARTED, {**one, "by": by}, step=step)
        nothing = {**one, "result": "nothing", "detail": why, "evidence": {}}
        writer.append(EventKind.UNDO_ENDED, nothing, step=step)


def report_missing(writer: JournalWriter, records: Iterable[Event]) -> None:
    """Undos whose type cannot be loaded here: the package that provides it is named."""
    for record in records:
        data = record["data"]
        detail = f"undo type {data['type']} cannot be loaded here; it is part of the package {data['distribution']}"
        fix = f"install {data['distribution']}, then: offbus recover {writer.run}"
        _residue(writer, data["describe"], detail, fix)


def report_unreachable(
    writer: JournalWriter,
    fold: Fold,
    entries: Iterable[UndoEntry],
    missing: Iterable[Event],
    folder: RunFolder,
) -> None:
    """Undos of a run whose environment is not known, because the lines that named it are damaged."""
    titles = [entry.title for entry in entries] + [record["data"]["describe"] for record in missing]
    for title in titles:
        detail = "not undone: the journal no longer says which environment it was in"
        _residue(writer, title, detail, f"undo it by hand; then: rm {folder.unfinished}")
    if fold.gaps.missing and not titles:
        detail = "the journal no longer says which it was, nor whether the run changed anything"
        _residue(writer, "the environment", detail, f"check it by hand; then: rm {folder.unfinished}")


def report_lost(writer: JournalWriter, fold: Fold, folder: RunFolder) -> None:
    """What damaged lines may have held, unless the environment was read back and is as it was before the run."""
    if fold.as_before or fold.environment is None:
        return
    known = (
        "is not as it was before"
        if fold.fingerprint is not None
        else "cannot be compared with its state before"
    )
    for number in fold.gaps.lost_undos():
        detail = f"its record is damaged, and the environment {known}"
        _residue(writer, f"undo {number}", detail, f"check by hand; then: rm {folder.unfinished}")
    for gap in fold.gaps.descriptions():
        detail = f"{gap}; what was changed is not known, and the environment {known}"
        _residue(writer, "the journal", detail, f"check by hand; then: rm {folder.unfinished}")


def _residue(writer: JournalWriter, item: str, detail: str, fix: str) -> None:
    writer.append(EventKind.RESIDUE, {"item": item, "detail": detail, "fix": fix})
