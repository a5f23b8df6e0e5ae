"""Plays undos: in two passes, in a shield, each try bounded, all of them even if one fails (design.md, section 4).

Used by the end of a run, by `cleanup`, between the attempts of a step, and by `recover`, which gives it entries that
were read from a journal. An entry is resolved when its undo returned `restored` or `nothing`; a conflict or a failure
stays open and is residue in the end.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

import anyio

from offbus.abilities import OwnsRun, ability
from offbus.environment import Environment
from offbus.errors import JournalError, OffbusError
from offbus.journal.kinds import UNDO_ENDED, UNDO_STARTED
from offbus.journal.schemas import UndoEnded, UndoStarted
from offbus.journal.writer import JournalWriter
from offbus.runner.checkpoint import Checkpoint
from offbus.runner.recorder import JournalRecorder
from offbus.undo import Phase, Undo, UndoContext, UndoResult, refused

__all__ = ["ATTEMPTS", "UndoEntry", "Undoer"]

ATTEMPTS = 3
"""Tries of an undo that fails, within one call."""
BACKOFF = timedelta(milliseconds=250)
"""Before the second try; doubled before the third."""
LEAST = 1.0
"""Seconds that an undo may take even when the whole budget is spent: every undo is tried."""


@dataclass(slots=True)
class UndoEntry:
    """A recorded undo and what became of it."""

    number: int
    step: str | None
    undo: Undo
    title: str
    """What it undoes, as it was journaled."""
    attempts: int = 0
    result: UndoResult | None = None
    error: str | None = None
    undone_at: float = 0.0
    """When the last try ended, by the loop's clock."""
    again: bool = False
    """Its step had not ended when it was undone: it is undone once more when it has."""
    _turn: anyio.Lock | None = None

    @property
    def resolved(self) -> bool:
        """Nothing is left to do."""
        return not self.again and self.result is not None and self.result.result != "conflict"

    @property
    def turn(self) -> anyio.Lock:
        """Held while it is undone: two that want the same undo (a `cleanup` and a stop) take turns."""
        if self._turn is None:
            self._turn = anyio.Lock(fast_acquire=True)
        return self._turn


class Undoer:
    """Undoes entries in an open environment, writing every try into the journal."""

    def __init__(self, journal: JournalWriter, recorder: JournalRecorder, environment: Environment) -> None:
        self._journal = journal
        self._recorder = recorder
        self._environment = environment
        self._owner = ability(environment, OwnsRun)

    async def undo(self, entries: Iterable[UndoEntry], *, by: str, budget: timedelta) -> None:
        """Undo what is not resolved: all disarms at once, then the rest in reverse order of their records."""
        due = [entry for entry in entries if not entry.resolved]
        deadline = anyio.current_time() + budget.total_seconds()
        checkpoint = Checkpoint()
        with anyio.CancelScope(shield=True):  # each try has a bound of its own
            # Faults first, and at once: a disarm that hangs must not keep another fault armed.
            async with anyio.create_task_group() as together:
                for entry in due:
                    if entry.undo.phase is Phase.DISARM:
                        together.start_soon(self._resolve, entry, by, deadline)
            for entry in sorted(due, key=lambda entry: -entry.number):
                if entry.undo.phase is Phase.RESTORE:
                    await checkpoint.take()
                    await self._resolve(entry, by, deadline)

    async def _resolve(self, entry: UndoEntry, by: str, deadline: float) -> None:
        async with entry.turn:
            # Asked once more: whoever had the turn before may have undone it.
            if not entry.resolved:
                await self._try_repeatedly(entry, by, deadline)

    async def _try_repeatedly(self, entry: UndoEntry, by: str, deadline: float) -> None:
        entry.again = False
        for attempt in range(ATTEMPTS):
            await self._try(entry, by, deadline)
            if entry.error is None or attempt == ATTEMPTS - 1:
                return
            pause = BACKOFF.total_seconds() * 2**attempt
            if anyio.current_time() + pause >= deadline:
                return
            await anyio.sleep(pause)

    async def _try(self, entry: UndoEntry, by: str, deadline: float) -> None:
        entry.attempts += 1
        started: UndoStarted = {"undo": entry.number, "attempt": entry.attempts, "by": by}
        self._journal.append(UNDO_STARTED(started), step=entry.step)
        now = anyio.current_time()
        bound = max(LEAST, min(entry.undo.timeout.total_seconds(), deadline - now))
        # What stands when the scope below is cut off: then `_outcome` returns nothing.
        entry.result, entry.error = None, f"it did not end within {bound:.0f} s"
        with anyio.CancelScope(deadline=now + bound, shield=True):
            entry.result, entry.error = await self._outcome(entry)
        entry.undone_at = anyio.current_time()
        self._journal.append(UNDO_ENDED(_ended(entry)), step=entry.step)

    def context(self, entry: UndoEntry) -> UndoContext:
        """What an entry's undo may use."""
        return UndoContext(
            run=self._journal.run,
            step=entry.step or "",
            environment=self._environment,
            recorder=self._recorder.for_step(entry.step),
            run_dir=str(self._journal.path.parent),
            masking=self._journal.masking,
        )

    async def _outcome(self, entry: UndoEntry) -> tuple[UndoResult | None, str | None]:
        try:
            # Asked when it was recorded, too; but a recovery has it from a journal, which may say anything.
            if (why := refused(entry.undo, self._journal.run)) is not None:
                return UndoResult.conflict(why), None
            if self._owner is not None:
                await self._owner.may_undo()
            result: object = await entry.undo.undo(self.context(entry))
            if isinstance(result, UndoResult):
                return result, None
            raise TypeError(f"it returned {type(result).__name__}, not an UndoResult")
        except (OffbusError, JournalError) as err:
            return None, str(err)
        except Exception as err:  # noqa: BLE001  a bug in one undo must not keep the others from being played
            return None, f"bug in undo {type(entry.undo).__name__}: {type(err).__name__}: {err}"


def _ended(entry: UndoEntry) -> UndoEnded:
    result = entry.result
    return {
        "undo": entry.number,
        "attempt": entry.attempts,
        "result": "failed" if result is None else result.result,
        "detail": entry.error or "" if result is None else result.detail,
        "evidence": {} if result is None else dict(result.evidence),
    }
