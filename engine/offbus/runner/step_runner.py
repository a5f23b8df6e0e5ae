"""Plays single steps for the scheduler: attempts, expectations, undo between attempts, and `cleanup`'s requests."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import anyio

from offbus.abilities import MayMissChanges, ability
from offbus.journal.events import Outcome
from offbus.journal.kinds import ATTEMPT_ENDED, STEP_ENDED, STEP_READY, STEP_STARTED
from offbus.journal.schemas import AttemptEnded, StepEnded
from offbus.runner.attempts import Result, attempt, outcome_of, play_step
from offbus.runner.context import Services, StepContext
from offbus.runner.expectations import judge_all
from offbus.runner.scheduler import Scheduler
from offbus.runner.slot import Slot
from offbus.runner.undo_registry import UndoLog, refuse_open
from offbus.runner.undo_runner import UndoEntry

if TYPE_CHECKING:
    from offbus.language.cel.scope import Scope, StepState
    from offbus.language.scenario import Scenario

__all__ = ["Stepper"]

LOOK_S = 30.0
"""How long an environment may look whether something was missed: the time of one list of a large cluster."""


class Stepper:
    """Everything that happens inside one step of one run."""

    def __init__(self, scenario: "Scenario", services: Services, undos: UndoLog) -> None:
        self.slots: dict[str, Slot] = {}
        self._scenario = scenario
        self._services = services
        self._journal = services.journal
        self._undos = undos
        self._schedulers: dict[str, Scheduler] = {}
        self._attempts: dict[str, int] = {}
        self._needs = {step.id: step.needs for step in scenario.steps}

    def scheduler(self, *, always: bool) -> Scheduler:
        """A scheduler for the steps marked `always`, or for all others; slots are shared, so needs may point across."""
        chosen = [step for step in self._scenario.steps if step.always == always]
        scheduler = Scheduler(
            chosen,
            self.play,
            self.ended,
            self.slots,
            timed_out=self.timed_out,
            always=always,
            needs_of=lambda step: self._needs[step],
        )
        self._schedulers |= dict.fromkeys((step.id for step in chosen), scheduler)
        return scheduler

    def running(self, step: str | None) -> bool:
        """Whether a step has begun and not ended."""
        slot = self.slots.get(step or "")
        return slot is not None and slot.started and slot.result is None

    def scope(self, own: Result | None = None) -> "Scope":
        """What expressions can see now."""
        from offbus.language.cel.scope import Scope

        return Scope(
            inputs=self._scenario.inputs,
            steps=_States(self.slots),
            outputs=own.outputs if own else None,
            metrics=self._services.metrics,
        )

    async def play(self, slot: Slot) -> Result:
        """All attempts of a step, and its expectations: of each attempt if `retry` covers them, else of the last."""
        covered = slot.step.retry.expect

        async def once(number: int) -> Result:
            result = await self._attempt(slot, number)
            return self._judged(slot, result) if covered else result

        result = await play_step(
            slot.step, once, lambda number, result, pause: self._between(slot, number, result, pause)
        )
        return result if covered else self._judged(slot, result)

    def _judged(self, slot: Slot, result: Result) -> Result:
        if result.outcome is not Outcome.PASSED or not slot.step.expect:
            return result
        return judge_all(self._journal, slot.step.expect, self.scope(result), result, step=slot.step.id)

    async def timed_out(self, result: Result) -> Result:
        """What the end of a step's time means: an error of the path, if what it waited for could not be seen."""
        seeing = ability(self._services.environment, MayMissChanges)
        if seeing is None:
            return result
        why: str | None = f"the environment did not answer within {LOOK_S:g} s"
        try:
            with anyio.move_on_after(LOOK_S):
                why = await seeing.missed_changes()
        except Exception as error:  # noqa: BLE001  the class of an error is its policy
            return outcome_of(error)
        if why is None:
            return result
        return replace(
            result, outcome=Outcome.ERRORED, message=f"{result.message}, and could not have been: {why}"
        )

    def ended(self, slot: Slot, result: Result) -> None:
        """Journal the step's one outcome."""
        attempts = self._attempts.get(slot.step.id, 0)
        data: StepEnded = {"outcome": result.outcome.value, "attempts": attempts}
        if result.because is not None:
            data["because"] = result.because
        if result.message:
            data["message"] = result.message
        if result.hint is not None:
            data["hint"] = result.hint
        if result.evidence:
            data["evidence"] = dict(result.evidence)
        if result.bug:
            data["bug"] = True
        if result.outputs_json is not None:
            data["outputs"] = dict(result.outputs_json)
        self._journal.append(STEP_ENDED(data), step=slot.step.id)

    async def undo_now(self, steps: Iterable[str]) -> list[UndoEntry]:
        """For `cleanup`: stop these steps if they run, then undo what they did."""
        chosen = list(steps)
        for name in chosen:
            slot = self.slots[name]
            if slot.started and slot.result is None:
                self._schedulers[name].stop(slot)
                # Until it has ended it may record another undo, which would be missed below.
                await slot.ended.wait()
        return await self._undos.undo_steps(chosen, by="cleanup")

    async def _attempt(self, slot: Slot, number: int) -> Result:
        self._attempts[slot.step.id] = number
        self._journal.append(STEP_STARTED({"attempt": number}), step=slot.step.id)
        context = StepContext(self._services, slot.step.id, lambda: self._ready(slot), slot)
        return await attempt(slot.step, context, self.scope)

    async def _between(self, slot: Slot, number: int, result: Result, pause: timedelta) -> None:
        data: AttemptEnded = {
            "attempt": number,
            "outcome": result.outcome.value,
            "message": result.message,
            "again_in_s": pause.total_seconds(),
        }
        self._journal.append(ATTEMPT_ENDED(data), step=slot.step.id)
        # Before the pause: what the failed attempt did does not last for so long.
        refuse_open(await self._undos.undo_steps([slot.step.id], by="retry"))
        await anyio.sleep(pause.total_seconds())

    def _ready(self, slot: Slot) -> None:
        """Only a background step satisfies others before it has ended; elsewhere the call has no effect."""
        if slot.step.background and not slot.satisfied:
            self._journal.append(STEP_READY({}), step=slot.step.id)
            self._schedulers[slot.step.id].ready(slot)


class _States(Mapping[str, "StepState"]):
    """The steps as expressions see them, made on demand."""

    def __init__(self, slots: Mapping[str, Slot]) -> None:
        self._slots = slots

    def __getitem__(self, step: str) -> "StepState":
        from offbus.language.cel.scope import StepState

        result = self._slots[step].result
        if result is None:
            return StepState(outcome="running", outputs=None)
        return StepState(outcome=result.outcome.value, outputs=result.outputs)

    def __iter__(self) -> Iterator[str]:
        return iter(self._slots)

    def __len__(self) -> int:
        return len(self._slots)
