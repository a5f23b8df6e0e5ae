"""Plays the DAG: starts every step whose needs are satisfied, in one task group, by events and never by polling.

Guarantees (each has a test in tests/engine/runner/test_scheduler.py, all are checked by tests/engine/test_laws.py):

 1. A step starts only after each of its needs passed, was skipped by its own `when`, or (background) is ready. An
    `always` step among the needs of one that is not is replaced by its own needs: it runs after all of those. For an
    `always` step every need that has ended is enough; it also waits for the `always` steps behind its needs.
 2. Every step ends with exactly one outcome.
 3. After an outcome that satisfies nothing, its descendants are skipped, nothing new starts and what runs is
    cancelled; with `keep_going` only the descendants are skipped. An `always` step that fails does not stop the
    others.
 4. Background steps are asked to stop when the last other step has ended, and have `GRACE` to do so.
 5. `halt` cancels what runs and skips what has not started, each with the reason.
 6. A step whose time ran out is judged by `timed_out`, unless it was asked to stop; `halt` cancels that, too.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

import anyio
from anyio.abc import TaskGroup

from offbus.journal.events import Outcome
from offbus.runner.attempts import Result
from offbus.runner.checkpoint import Checkpoint
from offbus.runner.slot import Slot

if TYPE_CHECKING:
    from offbus.language.scenario import Step

__all__ = ["GRACE", "Scheduler"]

GRACE = timedelta(seconds=10)
"""How long a background step may take to end once it was asked to."""


class Scheduler:
    """Plays some of a scenario's steps: those of the main part, or those marked `always`."""

    def __init__(
        self,
        steps: Iterable["Step"],
        play: Callable[[Slot], Awaitable[Result]],
        ended: Callable[[Slot, Result], None],
        slots: dict[str, Slot],
        *,
        timed_out: Callable[[Result], Awaitable[Result]] | None = None,
        always: bool = False,
        needs_of: Callable[[str], Iterable[str]] = lambda _step: (),
    ) -> None:
        """`needs_of` returns the needs of any step of the scenario; `always` when these are the steps marked so."""
        self.slots: Mapping[str, Slot] = slots
        self._play = play
        self._told = ended
        self._timed_out = timed_out
        self._always = always
        self._needs_of = needs_of
        self._mine = [slots.setdefault(step.id, Slot(step)) for step in steps]
        self._unended = len(self._mine)
        self._foreground = sum(not slot.step.background for slot in self._mine)
        self._halted: str | None = None
        self._checkpoint = Checkpoint()
        self._tasks: TaskGroup | None = None
        self._looks_for_next = False
        self._next_step: Slot | None = None
        for slot in self._mine:
            for need in self._resolved(slot.step.needs):
                self.slots[need].dependents.append(slot)
                slot.open_needs += 1

    async def play(self) -> None:
        """Run until every step has its outcome."""
        async with anyio.create_task_group() as self._tasks:
            for slot in self._mine:
                if slot.open_needs == 0 and not slot.started and slot.result is None:
                    self._start(slot)
            self._stop_background_if_alone()
        self._tasks = None

    def halt(self, because: str) -> None:
        """Cancel what runs, skip what has not started."""
        if self._halted is not None:
            return
        # First: what ends from now on may satisfy others (an `always` step always does), and none of them may start.
        self._halted = because
        for slot in self._mine:
            self._skip_or_cancel(slot, because)

    def ready(self, slot: Slot) -> None:
        """A background step is ready: what needs it may start, and only its stop bounds it from now on."""
        if slot.satisfied or slot.result is not None:
            return
        if slot.scope is not None and not slot.asked_to_stop:
            slot.scope.deadline = float("inf")
        self._satisfy(slot)

    def stop(self, slot: Slot) -> None:
        """Ask a running background step to end, within GRACE."""
        slot.stop.set()
        if slot.scope is not None:
            slot.scope.deadline = anyio.current_time() + GRACE.total_seconds()

    def _resolved(self, needs: Iterable[str]) -> set[str]:
        """What is still to be waited for: each need that is not played here, or has ended, is replaced by its own.

        So a step runs after the needs of an `always` step that comes later, and an `always` step after those behind
        the steps that it needs: it may undo what they do.
        """
        found: set[str] = set()
        seen: set[str] = set()
        todo = list(needs)
        while todo:
            need = todo.pop()
            if need in seen:
                continue
            seen.add(need)
            slot = self.slots.get(need)
            if slot is not None and slot.result is None:
                found.add(need)
            else:
                todo.extend(self._needs_of(need))
        return found

    def _start(self, slot: Slot) -> None:
        if self._tasks is None or self._halted is not None:
            return
        slot.started = True
        if self._looks_for_next:
            self._looks_for_next, self._next_step = False, slot
        else:
            self._tasks.start_soon(self._run, slot, name=slot.step.id)

    async def _run(self, slot: Slot) -> None:
        """A step, then the first that its end made ready, and so on: a sequence takes one task, not one a step."""
        following: Slot | None = slot
        while following is not None:
            result = await self._outcome(following)
            self._looks_for_next = True
            self._end(following, result)
            following, self._next_step, self._looks_for_next = self._next_step, None, False

    async def _outcome(self, slot: Slot) -> Result:
        limit = GRACE if slot.asked_to_stop else slot.step.timeout
        slot.scope = anyio.CancelScope(deadline=anyio.current_time() + limit.total_seconds())
        result = Result(Outcome.CANCELLED, because=slot.cancelled_because or "the environment failed")
        try:
            # Halted between its start and this, its task's first turn: then there was no scope to cancel.
            if slot.cancelled_because is None:
                with slot.scope:
                    await self._checkpoint.take()
                    result = await self._play(slot)
        except BaseException:
            self._end(slot, result)
            raise
        return await self._cut_off(slot) if slot.scope.cancelled_caught else result

    async def _cut_off(self, slot: Slot) -> Result:
        result = self._why_cut_off(slot)
        if result.outcome is Outcome.TIMED_OUT and not slot.asked_to_stop and self._timed_out is not None:
            # In the slot, so that `halt` finds it and cancels the look as it would cancel the step.
            with anyio.CancelScope() as slot.scope:
                return await self._timed_out(result)
        return result

    def _why_cut_off(self, slot: Slot) -> Result:
        if slot.cancelled_because is not None:
            return Result(Outcome.CANCELLED, because=slot.cancelled_because)
        if slot.asked_to_stop:
            return Result(
                Outcome.TIMED_OUT, f"did not stop within {GRACE.total_seconds():g} s of being asked"
            )
        seen = "was not seen" if slot.step.type.kind == "observation" else "did not end"
        return Result(Outcome.TIMED_OUT, f"{seen} within {slot.step.timeout.total_seconds():g} s")

    def _end(self, slot: Slot, result: Result) -> None:
        slot.result = result
        self._unended -= 1
        self._foreground -= not slot.step.background
        self._told(slot, result)
        slot.mark_ended()
        if result.satisfies or self._always:
            self._satisfy(slot)
        else:
            because = f"step {slot.step.id} {result.outcome.value.replace('_', ' ')}"
            self._skip_descendants(slot, because)
            if not slot.step.keep_going:
                self.halt(because)
        self._stop_background_if_alone()

    def _satisfy(self, slot: Slot) -> None:
        if slot.satisfied:
            return
        slot.satisfied = True
        for dependent in slot.dependents:
            dependent.open_needs -= 1
            if dependent.open_needs == 0 and not dependent.started and dependent.result is None:
                self._start(dependent)

    def _skip_descendants(self, slot: Slot, because: str) -> None:
        todo = list(slot.dependents)
        while todo:
            other = todo.pop()
            if other.result is None and not other.started:
                todo.extend(other.dependents)
                self._end_unstarted(other, because)

    def _skip_or_cancel(self, slot: Slot, because: str) -> None:
        if slot.result is not None:
            return
        if not slot.started:
            self._end_unstarted(slot, because)
        elif slot.cancelled_because is None:
            slot.cancelled_because = because
            if slot.scope is not None:
                slot.scope.cancel()

    def _end_unstarted(self, slot: Slot, because: str) -> None:
        slot.result = Result(Outcome.SKIPPED, because=because)
        self._unended -= 1
        self._foreground -= not slot.step.background
        self._told(slot, slot.result)
        slot.mark_ended()

    def _stop_background_if_alone(self) -> None:
        if self._foreground == 0 and self._unended:
            for slot in self._mine:
                if slot.step.background and slot.result is None and slot.started:
                    self.stop(slot)
