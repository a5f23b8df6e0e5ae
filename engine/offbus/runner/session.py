"""One run from its first event to its report.

    open the environment -> fingerprint -> steps -> always steps -> undo, in two passes -> fingerprint -> close

Whatever happens on the way (a failure, a timeout, a signal, a guard, a journal that cannot be written, a bug), the
undo and everything after it are played, in a shield, inside `undo_timeout`. What each of these does to the verdict
is offbus.report.verdict's matter; this module only journals what happened.
"""

import os
import platform
import socket
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import anyio

from offbus import __version__
from offbus.dag import build
from offbus.environment import Environment
from offbus.errors import GuardRefused, OffbusError
from offbus.journal.events import EventKind, Outcome
from offbus.journal.writer import JournalWriter, Listener
from offbus.plugins import Registry, installed
from offbus.report.fold import Fold
from offbus.report.model import Report
from offbus.runner.attempts import Result
from offbus.runner.clock import Clock
from offbus.runner.context import Services
from offbus.runner.expectations import judge_all
from offbus.runner.finish import end_run, settle_place
from offbus.runner.recording import MetricValues, RunRecorder
from offbus.runner.scheduler import Scheduler
from offbus.runner.stepping import Stepper
from offbus.runner.undoing import Undoer
from offbus.runner.undolog import UndoLog
from offbus.runs import RunFolder

if TYPE_CHECKING:
    from offbus.language.scenario import Scenario, Step

__all__ = ["Progress", "Session"]

Progress = Callable[[str | None, str], None]
"""Told what a step (None: the run) is doing; for the live view."""


class Session:
    """A run. `stop` may be called at any time from inside the event loop."""

    def __init__(
        self,
        scenario: "Scenario",
        folder: RunFolder,
        clock: Clock,
        *,
        identity: str,
        listeners: Iterable[Listener] = (),
        progress: Progress = lambda _step, _text: None,
        registry: Registry | None = None,
    ) -> None:
        self.fold = Fold()
        self._scenario = scenario
        self._folder = folder
        self._clock = clock
        self._identity = identity
        self._progress = progress
        self._registry = registry or installed()
        self._metrics: MetricValues = {}
        self._playing: Scheduler | None = None
        self._opening: anyio.CancelScope | None = None
        self._stopped: str | None = None
        self._skip_always: str | None = None
        self._journal = JournalWriter(folder.journal, folder.id, clock)
        for listener in (self.fold.apply, *listeners, self._watch_journal):
            self._journal.listen(listener)

    async def run(self) -> Report:
        """Play the scenario. Raises CouldNotRun only when not even the journal can be begun."""
        self._journal.append(EventKind.RUN_STARTED, self._head(), durable=True)
        try:
            with anyio.CancelScope() as self._opening:
                await self._in_environment()
        except Exception as err:  # noqa: BLE001  whatever broke, the run ends with a report that says so
            self._stop(*_cause(err))
        return end_run(self._journal, self.fold, self._folder)

    def stop(self, signal: str) -> None:
        """A signal: cancel, disarm, undo, report."""
        self._skip_always = f"signal {signal}"
        self._stop("signal", f"interrupted by {signal}")

    async def _in_environment(self) -> None:
        self._phase("open")
        async with AsyncExitStack() as stack:
            handle = self._handle()
            environment = await stack.enter_async_context(self._open(handle))
            self._opening = None
            undoer = Undoer(self._journal, handle, environment)
            undos = UndoLog(self._journal, undoer, self._scenario.undo_timeout, self._registry)
            try:
                stepper = self._stepper(environment, undos)
                await self._main_part(environment, stepper)
            finally:
                with anyio.CancelScope(shield=True):
                    await self._wind_up(environment, stepper, undos)

    def _open(self, handle: RunRecorder) -> Any:
        spec = self._scenario.environment
        return spec.type.opener.open(
            spec.options, self._scenario.guards, handle, run_dir=str(self._folder.path)
        )

    def _handle(self) -> RunRecorder:
        return RunRecorder(
            self._journal,
            1,
            self._metrics,
            environment=self._scenario.environment.type.name,
            abort=self._abort,
            progress=self._progress,
        )

    def _stepper(self, environment: Environment, undos: UndoLog) -> Stepper:
        services = Services(
            journal=self._journal,
            epoch=1,
            metrics=self._metrics,
            environment=environment,
            clock=self._clock,
            scenario_dir=str(self._scenario.path.parent),
            run_dir=str(self._folder.path),
            register=undos.register,
            undo_now=lambda steps: stepper.undo_now(steps),  # noqa: PLW0108  stepper is made below
            progress=self._progress,
        )
        stepper = Stepper(self._scenario, services, undos)
        return stepper

    async def _main_part(self, environment: Environment, stepper: Stepper) -> None:
        before = await environment.fingerprint()
        self._journal.append(EventKind.FINGERPRINT, {"when": "before", "items": before}, durable=True)
        self._phase("steps")
        async with anyio.create_task_group() as around:
            around.start_soon(self._limit)
            await self._play(stepper, (step for step in self._scenario.steps if not step.always))
            around.cancel_scope.cancel()

    async def _limit(self) -> None:
        limit = self._scenario.timeout.total_seconds()
        await anyio.sleep(limit)
        self._stop("timeout", f"the run did not end within {limit:g} s")

    async def _wind_up(self, environment: Environment, stepper: Stepper, undos: UndoLog) -> None:
        budget = self._scenario.undo_timeout.total_seconds()
        deadline = anyio.current_time() + budget
        await self._always_part(stepper, budget)
        self._phase("undo")
        undos.closed = "the run is being undone"
        left = timedelta(seconds=max(0.0, deadline - anyio.current_time()))
        remaining = await undos.undo_all(by="runner", budget=left)
        passed = Result(Outcome.PASSED)
        judge_all(self._journal, self._scenario.expect, stepper.scope(), passed, step=None)
        await settle_place(
            environment, self._journal, remaining, self.fold.fingerprint, bound=self._scenario.undo_timeout
        )

    async def _always_part(self, stepper: Stepper, budget: float) -> None:
        chosen = [step for step in self._scenario.steps if step.always]
        if not chosen:
            return
        self._phase("always")
        self._stopped = self._skip_always  # a failure or timeout before does not keep these from running
        with anyio.move_on_after(budget):
            await self._play(stepper, chosen)

    async def _play(self, stepper: Stepper, steps: Iterable["Step"]) -> None:
        self._playing = stepper.scheduler(steps)
        if self._stopped is not None:
            self._playing.halt(self._stopped)
        await self._playing.play()
        self._playing = None

    def _abort(self, reason: str) -> None:
        self._skip_always = self._skip_always or reason
        self._stop("guard", reason)

    def _stop(self, cause: str, reason: str) -> None:
        if self._stopped is not None:
            return
        self._stopped = reason
        self._journal.append(EventKind.STOPPED, {"cause": cause, "reason": reason})
        if self._playing is not None:
            self._playing.halt(reason)
        elif self._opening is not None:
            self._opening.cancel()

    def _watch_journal(self, _event: object) -> None:
        if self._journal.broken is not None:
            self._skip_always = self._skip_always or self._journal.broken
            self._stop("journal", self._journal.broken)

    def _phase(self, name: str) -> None:
        self._journal.append(EventKind.PHASE, {"name": name})

    def _head(self) -> dict[str, Any]:
        scenario = self._scenario
        return {
            "name": scenario.name,
            "summary": scenario.summary,
            "scenario": str(scenario.path),
            "digest": scenario.digest,
            "environment": scenario.environment.type.name,
            "identity": self._identity,
            "versions": versions(),
            "steps": [_planned(step) for step in _plan_order(scenario.steps)],
            "expect": [one.text for one in scenario.expect],
            "timeout_s": scenario.timeout.total_seconds(),
            "undo_timeout_s": scenario.undo_timeout.total_seconds(),
            "host": socket.gethostname(),
            "pid": os.getpid(),
        }


def versions() -> dict[str, str]:
    """What the run was made with."""
    return {
        "offbus": __version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.release()} {platform.machine()}",
    }


def _plan_order(steps: Iterable["Step"]) -> list["Step"]:
    by_id = {step.id: step for step in steps}
    return [by_id[name] for name in build({step.id: step.needs for step in by_id.values()}).order]


def _planned(step: "Step") -> dict[str, Any]:
    return {
        "id": step.id,
        "uses": step.uses,
        "kind": step.type.kind.value,
        "needs": list(step.needs),
        "background": step.background,
        "always": step.always,
        "injects": step.type.injects,
        "timeout_s": step.timeout.total_seconds(),
    }


def _cause(error: Exception) -> tuple[str, str]:
    """Why a run could not go on, from what came out of the environment."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        inner = error.exceptions[0]
        if not isinstance(inner, Exception):
            break
        error = inner
    if isinstance(error, OffbusError):
        return ("guard" if isinstance(error, GuardRefused) else "environment"), str(error)
    return "bug", f"bug: {type(error).__name__}: {error}"
