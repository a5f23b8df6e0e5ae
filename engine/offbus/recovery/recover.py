"""Finishes a run whose runner is gone (its lock says whether it is): what `offbus recover` and the reaper do.

    open the run's folder (offbus.open_run) and lock it -> read the journal, cut a torn tail -> `adopted` -> reopen the
    environment from journaled state -> undo what is not resolved -> compare with the fingerprint from before -> close
    -> run_ended, report

Idempotent: a recovery that is killed is itself recovered by the next one. Two at once exclude each other by the run's
lock. What cannot be undone is residue with the way to fix it (offbus.recovery.unrecoverable): an undo whose type is
not installed, one whose environment or record is lost in a damaged journal. In an environment that is proven to be gone
as a whole, nothing is left to undo. A journal that cannot be written any more (a full disk) does not prevent the undo;
it is reported, and the run stays unfinished.
"""

import os
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta

import anyio

from offbus.errors import CouldNotRun, EnvironmentGone, OffbusError, UsageError, only_one
from offbus.exits import Exit
from offbus.journal.events import is_run
from offbus.journal.kinds import ADOPTED, PHASE, RUN_ENDED, STOPPED, UNDO_RECORDED
from offbus.journal.reader import Journal, read_journal
from offbus.journal.recovery_events import PersistedEvents
from offbus.journal.schemas import Adopted
from offbus.journal.writer import JournalWriter, Listener
from offbus.open_run import OpenRun
from offbus.plugins import Registry, installed
from offbus.recovery.unrecoverable import (
    Unreadable,
    read_undo,
    report_lost,
    report_missing,
    report_unreachable,
    resolve_gone,
)
from offbus.report.fold import Fold
from offbus.report.model import Report
from offbus.runner.clock import Clock
from offbus.runner.recorder import RunRecorder
from offbus.runner.run_end import end_run, read_back_and_close
from offbus.runner.settling import Settling
from offbus.runner.undo_runner import UndoEntry, Undoer
from offbus.runs import RunFolder
from offbus.secret import is_source
from offbus.undo import Undo

__all__ = ["Recovery", "plan_recovery", "recover"]

LONGEST_S = 86_400.0
"""Of the time for all undos: a journal may say anything."""
Progress = Callable[[str | None, str], None]


@dataclass(slots=True)
class Recovery:
    """What a journal says is left to do."""

    journal: Journal
    fold: Fold
    entries: list[UndoEntry] = field(default_factory=list)
    missing: list[Unreadable] = field(default_factory=list)
    """Records of which no undo can be made here."""
    recorded: list[Undo] | None = None
    """All undos that the run recorded, also those that are resolved; None when one is lost or cannot be loaded."""

    @property
    def finished(self) -> bool:
        """The run ended and left nothing open, as its last event says."""
        ended = self.fold.ended
        if ended is None or self.journal.lost_at_end:
            return False
        return RUN_ENDED.data(ended)["exit"] != Exit.RESIDUE


def plan_recovery(folder: RunFolder, registry: Registry | None = None) -> Recovery:
    """Read a run's journal and say what is left to undo. Changes nothing. Raises JournalError.

    The title of each undo is that of its type, whatever the journal calls it: also in what is told and reported then.
    """
    journal = read_journal(folder.journal, folder.opener)
    plan = Recovery(journal, Fold())
    found: dict[int, tuple[Undo, str] | Unreadable] = {}
    for event in journal.events:
        if (record := UNDO_RECORDED.of(event)) is not None:
            one = found[record["undo"]] = read_undo(record, event.get("step"), registry or installed())
            record["describe"] = one.title if isinstance(one, Unreadable) else one[1]
        plan.fold.apply(event)
    for pending in plan.fold.pending_undos():
        one = found[pending.undo]
        if isinstance(one, Unreadable):
            plan.missing.append(one)
        else:
            plan.entries.append(UndoEntry(pending.undo, pending.step, *one, attempts=len(pending.tries)))
    readable = [one[0] for one in found.values() if not isinstance(one, Unreadable)]
    if len(readable) == len(found) and not plan.fold.gaps.missing:
        plan.recorded = readable
    return plan


async def recover(
    folder: OpenRun,
    clock: Clock,
    *,
    by: str = "recover",
    listeners: Iterable[Listener] = (),
    progress: Progress = lambda _step, _text: None,
    registry: Registry | None = None,
    confirmed: Recovery | None = None,
    settling: Settling | None = None,
) -> Report:
    """Finish a run. `confirmed`: for a folder that others may have written, what that plan says and no more.

    Raises UsageError when the journal is not as it was confirmed, HeldElsewhere while its runner is alive, CouldNotRun
    if the environment is out of reach.
    """
    with folder.lock(by):
        # Read under the lock: before, its runner may still have been writing.
        plan = plan_recovery(folder, registry)
        if confirmed is not None and confirmed.journal.events != plan.journal.events:
            raise UsageError(f"{folder.journal} has changed since it was confirmed: nothing was undone")
        if (
            not plan.journal.events and not plan.journal.damage
        ):  # nothing was journaled, so nothing was changed
            folder.finish()
            raise CouldNotRun(f"run {folder.id} ended before its first event: there is nothing to undo")
        if plan.finished:
            folder.finish()
            return plan.fold.report()
        return await _finish(
            folder,
            plan,
            clock,
            by,
            listeners,
            progress,
            registry or installed(),
            settling or Settling(),
            confirmed=confirmed is not None,
        )


async def _finish(
    folder: OpenRun,
    plan: Recovery,
    clock: Clock,
    by: str,
    listeners: Iterable[Listener],
    progress: Progress,
    registry: Registry,
    settling: Settling,
    *,
    confirmed: bool,
) -> Report:
    killed = plan.fold.ended is None
    writer = _take_over(folder, plan, clock)
    try:
        persisted = PersistedEvents(plan.journal.events)
        for listener in (plan.fold.apply, persisted.heard, *listeners):
            writer.listen(listener)
        _adopt(writer, plan, by)
        if killed and not any(stop.cause == "killed" for stop in plan.fold.stops):
            reason = "the runner ended before the run did; it was recovered"
            writer.append(STOPPED({"cause": "killed", "reason": reason}))
        if plan.fold.environment is not None:
            await _undo_there(
                folder, plan, writer, persisted, by, progress, registry, settling, confirmed=confirmed
            )
        else:
            report_unreachable(writer, plan.fold, plan.entries, plan.missing, folder)
        report_lost(writer, plan.fold, folder)
        return end_run(writer, plan.fold, folder)
    finally:
        writer.close()


def _take_over(folder: OpenRun, plan: Recovery, clock: Clock) -> JournalWriter:
    journal = plan.journal
    writer = JournalWriter(
        folder.journal,
        journal.run or (folder.id if is_run(folder.id) else "unknown"),
        clock,
        next_seq=journal.next_seq,
        after_unended=journal.unended,
        size=journal.size,
        opener=folder.opener,
    )
    if journal.torn_bytes:
        writer.truncate(journal.good_bytes)
    return writer


def _adopt(writer: JournalWriter, plan: Recovery, by: str) -> None:
    """Journal the new owner. Epochs that damaged lines may have held are skipped: agents refuse lower ones."""
    data: Adopted = {
        "by": by,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "epoch": plan.fold.epoch + 1 + plan.fold.gaps.events + plan.journal.lost_at_end,
        "torn_bytes": plan.journal.torn_bytes,
    }
    writer.append(ADOPTED(data))
    # A full disk may show here and not before. It is told, and the undo is played all the same.
    writer.sync()
    if writer.broken is not None:
        writer.append(STOPPED({"cause": "journal", "reason": writer.broken}))


async def _undo_there(
    folder: OpenRun,
    plan: Recovery,
    writer: JournalWriter,
    persisted: PersistedEvents,
    by: str,
    progress: Progress,
    registry: Registry,
    settling: Settling,
    *,
    confirmed: bool,
) -> None:
    fold = plan.fold
    writer.masking.unknown = frozenset(
        name for name, given in fold.head.get("inputs", {}).items() if is_source(given)
    )
    budget = timedelta(seconds=min(max(0.0, fold.head["undo_timeout_s"]), LONGEST_S))
    environment_type = registry.environment_type(fold.opened or fold.head["environment"])
    handle = RunRecorder(
        writer,
        fold.epoch,
        {},
        environment=environment_type.name,
        abort=lambda reason: progress(None, reason),
        progress=progress,
        persisted=persisted,
        confirmed=confirmed,
    )
    reopen, opened = environment_type.opener.reopen, False
    try:
        async with reopen(fold.environment or {}, handle, run_dir=str(folder.path)) as environment:
            opened = True
            with anyio.CancelScope(shield=True):
                writer.append(PHASE({"name": "undo"}))
                undoer = Undoer(writer, handle, environment)
                await undoer.undo(plan.entries, by=by, budget=budget)
                await settling.watch(plan.entries, undoer, writer, progress, budget=budget)
                remaining = [entry for entry in plan.entries if not entry.resolved]
                report_missing(writer, plan.missing)
                clean = not plan.missing and (fold.fingerprint is not None or not fold.gaps.missing)
                await read_back_and_close(
                    environment, writer, remaining, fold.fingerprint, recorded=plan.recorded, clean=clean
                )
    except Exception as err:
        one = only_one(err)
        # Only of a reopening: once it is open, each undo has said itself what it found.
        if isinstance(one, EnvironmentGone) and not opened:
            return resolve_gone(writer, plan.entries, plan.missing, by, one.message)
        if opened or isinstance(one, OffbusError):
            raise one from None
        reason = f"{environment_type.name} cannot be reached: {type(one).__name__}: {one}"
        raise CouldNotRun(reason, hint=f"once it can be reached: offbus recover {folder.path}") from err
