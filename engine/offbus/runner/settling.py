"""Watches what was undone, as long as others may still act on it: after the undo, beyond `undo_timeout`.

Something outside may have been set going by a run and act on it after everything was undone (a responder that still has
an event in its database). An undo type says for how long, and by what it would show (offbus.undo: `settling`,
`disturbed`). What shows is undone once more, and the watch begins anew, `ROUNDS` times; what cannot be undone is
residue, as ever. The environment stays open and its leases held meanwhile. A signal, or `--no-settle`, ends the watch
at once: nothing is lost but the proof, and the report says `unwatched`; the exit code is as it would have been. So does
a watch that fails: the run, or the recovery, goes on to its end.
"""

from collections.abc import Callable, Iterable
from datetime import timedelta

import anyio

from offbus.errors import OffbusError
from offbus.journal.kinds import PHASE, WATCHED
from offbus.journal.schemas import SettlingResult, Watched
from offbus.journal.writer import JournalWriter
from offbus.runner.undo_runner import UndoEntry, Undoer

__all__ = ["LONGEST", "ROUNDS", "Settling"]

ROUNDS = 3
"""How often something is undone once more."""
LONGEST = timedelta(minutes=10)
"""Of one watch, whatever an undo type says."""


class Settling:
    """The watch of one run, or of one recovery."""

    def __init__(self) -> None:
        self.going_on = False
        self._began = 0.0
        self._why = ""
        self._ended = anyio.Event()

    def end(self, why: str) -> None:
        """End the watch, or do not begin it."""
        self._why = self._why or why
        self._ended.set()

    async def watch(
        self,
        entries: Iterable[UndoEntry],
        undoer: Undoer,
        journal: JournalWriter,
        progress: Callable[[str | None, str], None],
        *,
        budget: timedelta,
    ) -> None:
        """Watch everything that was undone and may have to settle. `budget`: for undoing it once more."""
        due: list[tuple[UndoEntry, float]] = []
        for entry in entries:
            if entry.resolved and entry.result is not None:
                try:
                    time = await entry.undo.settling(undoer.context(entry), entry.result)
                except OffbusError as err:
                    _journal(journal, entry, 0.0, 0.0, "unwatched", str(err))
                    continue
                if limit_s := min(time, LONGEST).total_seconds():
                    due.append((entry, limit_s))
        if not due:
            return
        self.going_on, self._began = True, anyio.current_time()
        journal.append(PHASE({"name": "settle"}))
        progress(
            None,
            f"watching that nothing more happens, for {max(limit for _, limit in due):g} s (Ctrl-C ends it)",
        )
        try:
            async with anyio.create_task_group() as tasks:
                for entry, limit_s in due:
                    tasks.start_soon(self._one, entry, limit_s, undoer, journal, budget)
        finally:
            self.going_on = False

    async def _one(
        self, entry: UndoEntry, limit_s: float, undoer: Undoer, journal: JournalWriter, budget: timedelta
    ) -> None:
        began, detail, failed = entry.undone_at, "", ""
        result: SettlingResult = "quiet"
        until = entry.undone_at + limit_s
        for number in range(ROUNDS + 1):
            found, failed = await self._shown(entry, undoer, until)
            if not found:
                break
            detail = found
            # It is resolved, and the undoer leaves those alone.
            entry.again = True
            await undoer.undo([entry], by="settle", budget=budget)
            result = "undone_again" if entry.resolved else "conflict"
            if not entry.resolved or number == ROUNDS:
                break
            until = entry.undone_at + limit_s
        cut_short = self._ended.is_set() and anyio.current_time() < until
        if result != "conflict" and (failed or cut_short):
            result, detail, began = "unwatched", failed or self._why, self._began
        watched_s = anyio.current_time() - began
        if result == "quiet":  # the time counts from the undo, and may have been over when the watch began
            watched_s = min(watched_s, limit_s)
        _journal(journal, entry, limit_s, watched_s, result, detail)

    async def _shown(self, entry: UndoEntry, undoer: Undoer, until: float) -> tuple[str, str]:
        """What shows before that time, or before the watch is ended; and why it could not be watched. Else empty."""
        shown = failed = ""
        with anyio.CancelScope(deadline=until, shield=True) as scope:
            async with anyio.create_task_group() as beside:

                async def end() -> None:
                    await self._ended.wait()
                    scope.cancel()

                beside.start_soon(end)
                try:
                    shown = await entry.undo.disturbed(undoer.context(entry))
                except OffbusError as err:
                    failed = str(err)
                except Exception as err:  # noqa: BLE001  a bug in one undo must not keep a run from its end
                    failed = f"bug in undo {type(entry.undo).__name__}: {type(err).__name__}: {err}"
                beside.cancel_scope.cancel()
        return shown, failed


def _journal(
    journal: JournalWriter,
    entry: UndoEntry,
    limit_s: float,
    watched_s: float,
    result: SettlingResult,
    detail: str,
) -> None:
    data: Watched = {
        "undo": entry.number,
        "limit_s": round(limit_s, 3),
        "watched_s": round(watched_s, 3),
        "result": result,
        "detail": detail,
    }
    journal.append(WATCHED(data), step=entry.step)
