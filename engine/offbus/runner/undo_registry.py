"""The undos of a run: journals them before their effect, and undoes some of them when `cleanup` or a retry asks."""

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import TYPE_CHECKING

import anyio

from offbus.errors import JournalError, StepError, StepFailed
from offbus.journal.events import Event
from offbus.journal.kinds import UNDO_RECORDED
from offbus.journal.schemas import UndoRecorded
from offbus.journal.writer import JournalWriter
from offbus.runner.settling import Settling
from offbus.runner.undo_runner import UndoEntry, Undoer
from offbus.undo import Phase, Undo, refused

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
        self.deadline: float | None = None
        """When the budget of the undo ends, once it has begun."""

    def time_remaining(self) -> timedelta:
        """What remains of the undo's budget, which starts with the first call: at the stop, or the end of the steps."""
        if self.deadline is None:
            self.deadline = anyio.current_time() + self._budget.total_seconds()
        return timedelta(seconds=max(0.0, self.deadline - anyio.current_time()))

    def register(self, step: str | None, undo: Undo) -> Event:
        """Journal and fsync an undo; its event. Raises StepError when its effect must not be begun."""
        title = undo.describe()
        if self.closed is not None:
            raise StepError(f"refused a change whose undo is {title!r}: {self.closed}")
        if (why := refused(undo, self._journal.run)) is not None:
            raise StepError(
                f"refused a change whose undo is {title!r}: it could not be undone: {why}",
                hint="nothing was changed; the undo type must allow what its step sets (offbus.undo)",
            )
        number = len(self.entries) + 1
        try:
            event = self._recorded(number, step, undo)
        except JournalError as err:
            self.closed = self.closed or self._journal.broken
            raise StepError(f"{err.message}, so nothing is changed", hint=err.hint) from err
        self.entries.append(UndoEntry(number, step, undo, title))
        return event

    def amend(self, step: str, recorded: Undo, amended: Undo) -> Event:
        """Journal an undo of a step once more, under its number; the event. Raises StepError: the first one counts."""
        entry = next((one for one in self.entries if one.undo is recorded and one.step == step), None)
        title = amended.describe()
        if entry is None or type(amended) is not type(recorded):
            raise StepError(f"the undo {title!r} was never recorded by this step, so it cannot be amended")
        if (why := refused(amended, self._journal.run)) is not None:
            raise StepError(f"the undo {title!r} cannot be amended: {why}")
        try:
            event = self._recorded(entry.number, step, amended)
        except JournalError as err:
            self.closed = self.closed or self._journal.broken
            raise StepError(f"{err.message}, so nothing more is changed", hint=err.hint) from err
        entry.undo, entry.title = amended, title
        entry.again = entry.again or entry.result is not None  # undone meanwhile, by what was known then
        return event

    def _recorded(self, number: int, step: str | None, undo: Undo) -> Event:
        plugin = self._plugin(undo)
        data: UndoRecorded = {
            "undo": number,
            "type": plugin.name,
            "distribution": plugin.package,
            "phase": undo.phase.value,
            "describe": undo.describe(),
            "record": undo.model_dump(mode="json"),
        }
        return self._journal.append(UNDO_RECORDED(data), step=step, durable=True)

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
        mine = [entry for entry in self.entries if entry.step in wanted and not entry.resolved]
        await self._undoer.undo(mine, by=by, budget=self._budget)
        return mine

    async def disarm_now(self, running: Callable[[str | None], bool]) -> None:
        """After a stop: disarm every fault at once. Those of steps that still run are disarmed again at the end."""
        mine = [entry for entry in self.entries if entry.undo.phase is Phase.DISARM and not entry.resolved]
        # Judged before the disarm: a step that ends while it is carried out may have armed something after it.
        early = [entry for entry in mine if running(entry.step)]
        await self._undoer.undo(mine, by="stop", budget=self.time_remaining())
        for entry in early:
            entry.again = True

    async def undo_all(self, *, by: str, budget: timedelta) -> None:
        """Undo everything that is not resolved."""
        await self._undoer.undo(self.entries, by=by, budget=budget)

    async def settle(self, settling: Settling, progress: Callable[[str | None, str], None]) -> None:
        """Watch what was undone, as long as others may still act on it."""
        await settling.watch(self.entries, self._undoer, self._journal, progress, budget=self._budget)


def refuse_open(played: Iterable[UndoEntry]) -> None:
    """Raise StepFailed for a conflict, StepError for an undo that failed; nothing when all are resolved."""
    entries = [entry for entry in played if not entry.resolved]
    if not entries:
        return
    first = entries[0]
    conflict = first.result is not None
    detail = first.result.detail if first.result is not None else first.error
    more = f" (and {len(entries) - 1} more)" if len(entries) > 1 else ""
    kind = StepFailed if conflict else StepError
    raise kind(f"not undone: {first.title}: {detail}{more}", hint="it is tried again at the end")
