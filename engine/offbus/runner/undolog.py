"""The undos of a run: journals them before their effect, and undoes some of them when `cleanup` or a retry asks."""

from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING

from offbus.errors import JournalError, StepError, StepFailed
from offbus.journal.events import EventKind
from offbus.journal.writer import JournalWriter
from offbus.runner.undoing import UndoEntry, Undoer
from offbus.undo import Undo

if TYPE_CHECKING:
    from offbus.plugins import Plugin, Registry

__all__ = ["UndoLog"]


class UndoLog:
    """All undos that were registered, in the order of their records."""

    def __init__(
        self, journal: JournalWriter, undoer: Undoer, budget: timedelta, registry: "Registry"
    ) -> None:
        self.entries: list[UndoEntry] = []
        self.closed: str | None = None
        """Why no further effect may begin, once that is so."""
        self._journal = journal
        self._undoer = undoer
        self._budget = budget
        self._registry = registry

    def register(self, step: str | None, undo: Undo) -> None:
        """Journal and fsync an undo. Raises StepError when its effect must not be begun."""
        if self.closed is not None:
            raise StepError(f"refused to {undo.describe()!r} later, so nothing is changed: {self.closed}")
        number = len(self.entries) + 1
        plugin = self._plugin(undo)
        data = {
            "undo": number,
            "type": plugin.name,
            "distribution": plugin.package,
            "phase": undo.phase.value,
            "describe": undo.describe(),
            "record": undo.model_dump(mode="json"),
        }
        # The entry goes first: a record that is only half on disk is still undone by this process.
        self.entries.append(UndoEntry(number, step, undo))
        try:
            self._journal.append(EventKind.UNDO_RECORDED, data, step=step, durable=True)
        except JournalError as err:
            self.entries.pop()
            self.closed = err.message
            raise StepError(err.message, hint=err.hint) from err

    def _plugin(self, undo: Undo) -> "Plugin":
        found = self._registry.plugin_of_undo(type(undo))
        if found is None:
            kind = f"{type(undo).__module__}.{type(undo).__qualname__}"
            raise StepError(
                f"undo type {kind} is not registered, so nothing is changed",
                hint="add it to the entry points 'offbus.undos' of its package: recovery must be able to load it",
            )
        return found

    async def undo_steps(self, steps: Iterable[str], *, by: str) -> list[UndoEntry]:
        """Undo what these steps registered and is not undone yet, now; those entries are returned."""
        wanted = set(steps)
        mine = [entry for entry in self.entries if entry.step in wanted and not entry.settled]
        await self._undoer.undo(mine, by=by, budget=self._budget)
        return mine

    async def undo_all(self, *, by: str, budget: timedelta) -> list[UndoEntry]:
        """Undo everything that is not settled; the entries that stay open are returned."""
        await self._undoer.undo(self.entries, by=by, budget=budget)
        return [entry for entry in self.entries if not entry.settled]


def refuse_open(played: Iterable[UndoEntry]) -> None:
    """Raise StepFailed for a conflict, StepError for an undo that failed; nothing when all are settled."""
    entries = [entry for entry in played if not entry.settled]
    if not entries:
        return
    first = entries[0]
    conflict = first.result is not None
    detail = first.result.detail if first.result is not None else first.error
    more = f" (and {len(entries) - 1} more)" if len(entries) > 1 else ""
    kind = StepFailed if conflict else StepError
    raise kind(f"not undone: {first.undo.describe()}: {detail}{more}", hint="it is tried again at the end")
