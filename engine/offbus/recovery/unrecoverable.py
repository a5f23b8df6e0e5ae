"""Reports what a recovery cannot undo, as residue with its fix, and what it need not: the environment is gone.

Nothing is guessed, nothing is left out.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

from pydantic import ValidationError

from offbus.errors import OffbusError
from offbus.journal.kinds import RESIDUE, UNDO_ENDED, UNDO_STARTED
from offbus.journal.schemas import UndoEnded, UndoRecorded, UndoStarted
from offbus.journal.writer import JournalWriter
from offbus.plugins import Registry
from offbus.printable import clean
from offbus.report.fold import Fold
from offbus.runner.run_end import UNCOMPARED
from offbus.runner.undo_runner import UndoEntry
from offbus.runs import RunFolder
from offbus.undo import Undo

__all__ = [
    "Unreadable",
    "read_undo",
    "report_lost",
    "report_missing",
    "report_unreachable",
    "resolve_gone",
]

TYPE = re.compile(r"[a-z][a-z0-9_]{0,63}")
PACKAGE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")
"""A distribution's name (packaging.python.org, name normalization)."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A record of which no undo can be made here."""

    number: int
    step: str | None
    title: str
    why: str
    fix: str


def read_undo(data: UndoRecorded, step: str | None, registry: Registry) -> tuple[Undo, str] | Unreadable:
    """The undo of a record of that step, and its title in the words of its type.

    A record is hostile input: of what it says about itself only a valid name of a type or a package is repeated, and
    no command is made of it.
    """
    name = data["type"] if TYPE.fullmatch(data["type"]) else "(of no valid name)"
    unreadable = partial(Unreadable, data["undo"], step, f"undo {data['undo']} of type {name}")
    try:
        kind = registry.undo_type(data["type"])
    except OffbusError:
        package = data["distribution"] if PACKAGE.fullmatch(data["distribution"]) else "of no valid name"
        return unreadable(
            f"undo type {name} cannot be loaded here; its record names the package {package}",
            "install the package that has it, if you trust it; then recover again",
        )
    try:
        undo = kind.model_validate(data["record"])
        return undo, clean(undo.describe())
    except ValidationError as err:
        first = err.errors(include_url=False, include_input=False)[0]
        why = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    except Exception as err:  # noqa: BLE001  what a type makes of a hostile record must not keep the others waiting
        why = type(err).__name__
    return unreadable(
        f"{name} of the version here never wrote such a record: {clean(why)}",
        "recover with the version that began the run, or undo it by hand",
    )


def resolve_gone(
    writer: JournalWriter, entries: Iterable[UndoEntry], missing: Iterable[Unreadable], by: str, why: str
) -> None:
    """The environment is proven to be gone: no undo finds anything to do there."""
    numbered = [(entry.number, entry.attempts + 1, entry.step) for entry in entries]
    numbered += [(one.number, 1, one.step) for one in missing]
    for number, attempt, step in numbered:
        started: UndoStarted = {"undo": number, "attempt": attempt, "by": by}
        writer.append(UNDO_STARTED(started), step=step)
        ended: UndoEnded = {
            "undo": number,
            "attempt": attempt,
            "result": "nothing",
            "detail": why,
            "evidence": {},
        }
        writer.append(UNDO_ENDED(ended), step=step)


def report_missing(writer: JournalWriter, missing: Iterable[Unreadable]) -> None:
    """Undos that cannot be made here."""
    for one in missing:
        _residue(writer, one.title, one.why, one.fix)


def report_unreachable(
    writer: JournalWriter,
    fold: Fold,
    entries: Iterable[UndoEntry],
    missing: Iterable[Unreadable],
    folder: RunFolder,
) -> None:
    """Undos of a run whose environment is not known, because the lines that named it are damaged."""
    titles = [entry.title for entry in entries] + [one.title for one in missing]
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
    compared = fold.fingerprint is not None and all(one.item != UNCOMPARED for one in fold.residue)
    known = "is not as it was before" if compared else "cannot be compared with its state before"
    for number in fold.gaps.lost_undos():
        detail = f"its record is damaged, and the environment {known}"
        _residue(writer, f"undo {number}", detail, f"check by hand; then: rm {folder.unfinished}")
    for gap in fold.gaps.descriptions():
        detail = f"{gap}; what was changed is not known, and the environment {known}"
        _residue(writer, "the journal", detail, f"check by hand; then: rm {folder.unfinished}")


def _residue(writer: JournalWriter, item: str, detail: str, fix: str) -> None:
    writer.append(RESIDUE({"item": item, "detail": detail, "fix": fix}))
