"""Finishes a run whose runner is gone: what `offbus recover` does, and what the reaper will do.

    lock the run -> read the journal, cut a torn tail -> `adopted` -> reopen the environment from journaled state
    -> undo what is not settled -> compare with the fingerprint from before -> close -> run_ended, report

Idempotent: a recovery that is killed is itself recovered by the next one. Two at once exclude each other by the
run's lock. An undo whose type is not installed is residue that names the package which brings it.
"""

import os
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import anyio

from offbus.errors import CouldNotRun, OffbusError
from offbus.journal.events import Event, EventKind
from offbus.journal.reader import Journal, read_journal
from offbus.journal.writer import JournalWriter, Listener
from offbus.plugins import Registry, installed
from offbus.report.fold import Fold
from offbus.report.model import Report
from offbus.runner.clock import Clock
from offbus.runner.finish import end_run, settle_place
from offbus.runner.recording import RunRecorder
from offbus.runner.undoing import UndoEntry, Undoer
from offbus.runs import RunFolder

__all__ = ["Recovery", "plan_recovery", "recover"]


@dataclass(slots=True)
class Recovery:
    """What a journal leaves to do."""

    journal: Journal
    fold: Fold
    entries: list[UndoEntry] = field(default_factory=list)
    missing: list[Event] = field(default_factory=list)
    """Undo records whose type cannot be loaded here."""

    @property
    def finished(self) -> bool:
        """The run ended and left nothing open."""
        return self.fold.ended is not None and not self.fold.pending_undos() and not self.fold.residue


def plan_recovery(folder: RunFolder, registry: Registry | None = None) -> Recovery:
    """Read a run's journal and say what is left to undo. Changes nothing. Raises JournalError."""
    journal = read_journal(folder.journal)
    fold = Fold()
    for event in journal.events:
        fold.apply(event)
    plan = Recovery(journal, fold)
    for undo in fold.pending_undos():
        _plan_undo(plan, fold.records[undo.undo], len(undo.tries), registry or installed())
    return plan


async def recover(
    folder: RunFolder,
    clock: Clock,
    *,
    by: str = "recover",
    listeners: Iterable[Listener] = (),
    progress: Callable[[str | None, str], None] = lambda _step, _text: None,
    registry: Registry | None = None,
) -> Report:
    """Finish a run. Raises HeldElsewhere when its runner lives, CouldNotRun when its place cannot be reached."""
    with folder.lock():
        plan = plan_recovery(folder, registry)
        if plan.fold.first is None:
            return _nothing_happened(folder)
        if plan.finished:
            folder.unfinished.unlink(missing_ok=True)
            return plan.fold.report()
        return await _finish(folder, plan, clock, by, listeners, progress, registry or installed())


async def _finish(
    folder: RunFolder,
    plan: Recovery,
    clock: Clock,
    by: str,
    listeners: Iterable[Listener],
    progress: Callable[[str | None, str], None],
    registry: Registry,
) -> Report:
    killed = plan.fold.ended is None
    writer = _take_over(folder, plan, clock)
    for listener in (plan.fold.apply, *listeners):
        writer.listen(listener)
    writer.append(EventKind.ADOPTED, _adopted(plan, by), durable=True)
    if killed:
        _tell_killed(writer, plan)
    if plan.fold.environment is not None:
        await _undo_there(folder, plan, writer, by, progress, registry)
    return end_run(writer, plan.fold, folder)


def _take_over(folder: RunFolder, plan: Recovery, clock: Clock) -> JournalWriter:
    if plan.journal.torn_bytes:
        os.truncate(folder.journal, plan.journal.good_bytes)
    return JournalWriter(folder.journal, folder.id, clock, next_seq=plan.journal.next_seq)


def _adopted(plan: Recovery, by: str) -> dict[str, Any]:
    return {
        "by": by,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "epoch": plan.fold.epoch + 1,
        "torn_bytes": plan.journal.torn_bytes,
    }


def _tell_killed(writer: JournalWriter, plan: Recovery) -> None:
    if not any(stop.cause == "killed" for stop in plan.fold.stops):
        reason = "the runner ended before the run did; it was recovered"
        writer.append(EventKind.STOPPED, {"cause": "killed", "reason": reason})
    for line in plan.journal.damage:
        item = f"journal line {line.line}"
        data = {"item": item, "detail": f"it is damaged: {line.why}", "mend": "compare by hand"}
        writer.append(EventKind.RESIDUE, data)


async def _undo_there(
    folder: RunFolder,
    plan: Recovery,
    writer: JournalWriter,
    by: str,
    progress: Callable[[str | None, str], None],
    registry: Registry,
) -> None:
    fold = plan.fold
    head = fold.first["data"] if fold.first else {}
    budget = timedelta(seconds=head["undo_timeout_s"])
    environment_type = registry.environment_type(head["environment"])
    handle = RunRecorder(
        writer,
        fold.epoch,
        {},
        environment=environment_type.name,
        abort=lambda reason: progress(None, reason),
        progress=progress,
    )
    opening = environment_type.opener.reopen(fold.environment or {}, handle, run_dir=str(folder.path))
    async with opening as environment:
        with anyio.CancelScope(shield=True):
            writer.append(EventKind.PHASE, {"name": "undo"})
            await Undoer(writer, handle, environment).undo(plan.entries, by=by, budget=budget)
            left = [entry for entry in plan.entries if not entry.settled]
            _tell_missing(writer, plan.missing)
            await settle_place(environment, writer, left, fold.fingerprint, bound=budget)


def _plan_undo(plan: Recovery, record: Event, tries: int, registry: Registry) -> None:
    data = record["data"]
    try:
        undo = registry.undo_type(data["type"]).model_validate(data["record"])
    except (OffbusError, ValueError):
        plan.missing.append(record)
        return
    plan.entries.append(UndoEntry(data["undo"], record.get("step"), undo, attempts=tries))


def _tell_missing(writer: JournalWriter, records: Iterable[Event]) -> None:
    for record in records:
        data = record["data"]
        detail = f"undo type {data['type']} cannot be loaded here; it comes with {data['distribution']}"
        mend = f"install {data['distribution']}, then: offbus recover {writer.run}"
        residue = {"item": data["describe"], "detail": detail, "mend": mend}
        writer.append(EventKind.RESIDUE, residue)


def _nothing_happened(folder: RunFolder) -> Report:
    folder.unfinished.unlink(missing_ok=True)
    raise CouldNotRun(f"run {folder.id} ended before its first event: there is nothing to undo")
