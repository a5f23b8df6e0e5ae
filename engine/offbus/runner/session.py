"""One run from its first event to its report.

    open the environment -> fingerprint -> steps -> always steps -> undo, in two passes -> settle -> fingerprint ->
    close

Whatever happens on the way (a failure, a timeout, a signal, a guard, a journal that cannot be written, a bug), the
undo and everything after it are played, in a shield, inside `undo_timeout`. offbus.report.verdict decides what each of
these does to the verdict; this module only journals what happened.

A signal, a guard or a stop condition ends the run at once: nothing new is changed from then on, and every fault is
disarmed within `FAST_DISARM_AFTER` (offbus.runner.disarm_on_stop), whether the steps that run have ended by then or
not.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AsyncExitStack, contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import anyio

from offbus.abilities import HoldsLeases, PersistsEvents, ability
from offbus.environment import Environment
from offbus.journal.events import Event, Outcome
from offbus.journal.kinds import FINGERPRINT, PHASE, RUN_STARTED, STOPPED
from offbus.journal.recovery_events import PersistedEvents
from offbus.journal.schemas import PhaseName, StopCause
from offbus.journal.writer import JournalWriter, Listener
from offbus.open_run import OpenRun
from offbus.plugins import Registry, installed
from offbus.report.fold import Fold
from offbus.report.model import Report
from offbus.runner.attempts import Result
from offbus.runner.clock import Clock
from offbus.runner.context import Services
from offbus.runner.disarm_on_stop import fast_disarm, halt_after
from offbus.runner.expectations import judge_all
from offbus.runner.recorder import MetricValues, RunRecorder
from offbus.runner.run_end import end_run, read_back_and_close
from offbus.runner.run_started import head_of
from offbus.runner.settling import Settling
from offbus.runner.step_runner import Stepper
from offbus.runner.stop_causes import cause_of
from offbus.runner.stop_conditions import StopWatch
from offbus.runner.stop_state import StopStage, StopState
from offbus.runner.undo_registry import UndoLog
from offbus.runner.undo_runner import Undoer

if TYPE_CHECKING:
    from offbus.language.scenario import Scenario

__all__ = ["Progress", "Session"]

Progress = Callable[[str | None, str], None]
"""Called with what a step (None: the run) is doing; for the live view."""

ALWAYS_JOURNALED = ("signal", "journal")
"""A signal decides the exit code; a journal that breaks is reported wherever that is still possible."""


class Session:
    """A run. `stop` may be called at any time from inside the event loop."""

    def __init__(
        self,
        scenario: "Scenario",
        folder: OpenRun,
        clock: Clock,
        *,
        identity: str,
        listeners: Iterable[Listener] = (),
        progress: Progress = lambda _step, _text: None,
        registry: Registry | None = None,
        settle: bool = True,
    ) -> None:
        self.fold = Fold()
        self._settling = Settling()
        if not settle:
            self._settling.end("--no-settle")
        self._scenario = scenario
        self._folder = folder
        self._clock = clock
        self._identity = identity
        self._progress = progress
        self._registry = registry or installed()
        self._metrics: MetricValues = {}
        self._state = StopState()
        self._undos: UndoLog | None = None
        """Once the environment is open."""
        self._watch: StopWatch | None = None
        """While the steps run."""
        self._undone = False
        """The undo has ended: a signal finds nothing that it could stop but the watch."""
        self._persisted = PersistedEvents()
        self._journal = JournalWriter(folder.journal, folder.id, clock, opener=folder.opener)
        for listener in (self.fold.apply, self._persisted.heard, *listeners, self._heard):
            self._journal.listen(listener)

    async def run(self) -> Report:
        """Play the scenario. Raises CouldNotRun only when not even the journal can be begun, or no step could run."""
        # Before the first event: what cannot be imported leaves a run that never began, with nothing to recover.
        self._scenario.load_runs()
        self._journal.append(RUN_STARTED(head_of(self._scenario, self._identity)), durable=True)
        with self._surviving():
            async with anyio.create_task_group() as around:
                around.start_soon(self._limit)
                with (
                    anyio.CancelScope() as opening
                ):  # around all of it: what an environment opens, lives as long
                    await self._in_environment(opening)
                around.cancel_scope.cancel()
        return end_run(self._journal, self.fold, self._folder)

    def stop(self, signal: str) -> None:
        """A signal: cancel, disarm, undo, report. Once that was undone, it only ends the watch after it."""
        self._settling.end(f"ended by {signal}")
        if not self._undone:
            self._stop("signal", f"interrupted by {signal}", at_once=f"signal {signal}")

    async def _in_environment(self, opening: anyio.CancelScope) -> None:
        """Open it, and play everything in it; `opening` is cancelled by a stop while it is opened, and not later."""
        self._phase("open")
        async with AsyncExitStack() as stack:
            handle = self._handle()
            with self._state.interruptible(lambda _reason: opening.cancel()):
                environment = await self._entered(stack, handle)
            # Nothing waits from here to the `try`: cancelled in between, an open environment would have no undo.
            undoer = Undoer(self._journal, handle, environment)
            self._undos = UndoLog(self._journal, undoer, self._scenario.undo_timeout, self._registry)
            stepper = self._stepper(environment, self._undos)
            try:
                with self._surviving():
                    await self._main_part(environment, stepper, self._undos)
            finally:
                with anyio.CancelScope(shield=True):
                    await self._wind_up(environment, stepper, self._undos)

    async def _entered(self, stack: AsyncExitStack, handle: RunRecorder) -> Environment:
        """Open the environment; one that does not open is residue unless it says that nothing of it is left."""
        spec = self._scenario.environment
        try:
            environment: Environment = await stack.enter_async_context(
                spec.type.opener.open(
                    spec.options, self._scenario.guards, handle, run_dir=str(self._folder.path)
                )
            )
        except BaseException:
            # A cancellation, too: what an opener had begun is residue, unless it said what became of it.
            handle.did_not_open()
            raise
        return environment

    def _handle(self) -> RunRecorder:
        return RunRecorder(
            self._journal,
            1,
            self._metrics,
            environment=self._scenario.environment.type.name,
            abort=self._abort,
            progress=self._progress,
            persisted=self._persisted,
        )

    def _stepper(self, environment: Environment, undos: UndoLog) -> Stepper:
        services = Services(
            journal=self._journal,
            epoch=1,
            metrics=self._metrics,
            environment=environment,
            leases=ability(environment, HoldsLeases),
            persister=ability(environment, PersistsEvents),
            clock=self._clock,
            scenario_dir=str(self._scenario.path.parent),
            run_dir=str(self._folder.path),
            register=undos.register,
            amend=undos.amend,
            undo_now=lambda steps: stepper.undo_now(steps),  # noqa: PLW0108  stepper is made below
            progress=self._progress,
        )
        stepper = Stepper(self._scenario, services, undos)
        return stepper

    async def _main_part(self, environment: Environment, stepper: Stepper, undos: UndoLog) -> None:
        if self._state.reason is None:
            with anyio.CancelScope() as reading, self._state.interruptible(lambda _reason: reading.cancel()):
                event = await self._fingerprint(environment)
                persister = ability(environment, PersistsEvents)
                if persister is not None:
                    await persister.persist(event)
        self._phase("steps")
        await self._play(stepper, undos, always=False)

    async def _fingerprint(self, environment: Environment) -> Event:
        """Journal the fingerprint. It may be large: no second copy outlives this call."""
        items = await environment.fingerprint()
        return self._journal.append(FINGERPRINT({"when": "before", "items": items}), durable=True)

    async def _limit(self) -> None:
        limit = self._scenario.timeout.total_seconds()
        await anyio.sleep(limit)
        # Once the undo's own budget runs (the steps have ended, or a stop began it), `timeout` has nothing more to say.
        if self._undos is None or self._undos.deadline is None:
            self._stop("timeout", f"the run did not end within {limit:g} s")

    async def _wind_up(self, environment: Environment, stepper: Stepper, undos: UndoLog) -> None:
        # The budget of the undo begins with the first call: `always` steps are paid from it.
        undos.time_remaining()
        with self._surviving():
            await self._always_part(stepper, undos)
        self._phase("undo")
        undos.closed = undos.closed or "the run is being undone"
        await undos.undo_all(by="runner", budget=undos.time_remaining())
        self._undone = True
        with self._surviving():
            passed = Result(Outcome.PASSED)
            judge_all(self._journal, self._scenario.expect, stepper.scope(), passed, step=None)
        with self._surviving():
            await undos.settle(self._settling, self._progress)
        remaining = [entry for entry in undos.entries if not entry.resolved]
        recorded = [entry.undo for entry in undos.entries]
        await read_back_and_close(
            environment, self._journal, remaining, self.fold.fingerprint, recorded=recorded
        )

    async def _always_part(self, stepper: Stepper, undos: UndoLog) -> None:
        """At most half of the undo's budget: the undo itself needs the other half."""
        if not any(step.always for step in self._scenario.steps):
            return
        self._phase("always")
        self._state.begin_always()  # a failure or timeout before does not keep these from running
        await self._play(stepper, undos, always=True, limit=undos.time_remaining() / 2)

    async def _play(
        self, stepper: Stepper, undos: UndoLog, *, always: bool, limit: timedelta | None = None
    ) -> None:
        playing = stepper.scheduler(always=always)
        async with anyio.create_task_group() as beside:
            beside.start_soon(fast_disarm, self._state.requested, stepper, undos)
            if not always:
                self._watch = StopWatch(self._scenario.stop_when, stepper.scope, self._abort, beside)
            if limit is not None:
                beside.start_soon(halt_after, limit, playing)
            with self._state.interruptible(playing.halt):
                await playing.play()
            self._watch = None
            beside.cancel_scope.cancel()

    def _abort(self, reason: str) -> None:
        self._stop("guard", reason, at_once=reason)

    def _stop(self, cause: StopCause, reason: str, *, at_once: str | None = None) -> None:
        """Stop the run. The first reason counts; those in ALWAYS_JOURNALED are journaled even when later."""
        if at_once is not None:
            self._forbid(at_once)
        known = any(stop.cause == cause for stop in self.fold.stops)
        if self._state.reason is not None and (known or cause not in ALWAYS_JOURNALED):
            return
        first = self._state.stop(
            reason
        )  # before it is journaled: a journal that breaks over this stops the run, too
        self._journal.append(STOPPED({"cause": cause, "reason": reason}))
        if first:
            self._state.interrupt(reason)

    def _forbid(self, why: str) -> None:
        if self._undos is not None:
            self._undos.closed = self._undos.closed or f"the run is being stopped: {why}"
            self._undos.time_remaining()
        self._state.forbid(why)

    def _heard(self, event: Event) -> None:
        if self._watch is not None:
            self._watch.heard(event)
        # `_stop` writes an event, too, and so comes back here. It forbids first, which ends that.
        if self._journal.broken is not None and self._state.stage is not StopStage.FORBIDDEN:
            self._stop("journal", self._journal.broken, at_once=self._journal.broken)

    @contextmanager
    def _surviving(self) -> Iterator[None]:
        """Journal any error, and let the run continue to its end."""
        try:
            yield
        except Exception as err:  # noqa: BLE001  the end of a run is played whatever happened before
            cause, reason = cause_of(err)
            if not any((stop.cause, stop.reason) == (cause, reason) for stop in self.fold.stops):
                self._journal.append(STOPPED({"cause": cause, "reason": reason}))
            self._state.stop(reason)

    def _phase(self, name: PhaseName) -> None:
        self._journal.append(PHASE({"name": name}))
