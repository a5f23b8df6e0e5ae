"""One step from its first attempt to its outcome, with the pauses between attempts; only here errors are outcomes."""

import traceback
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from offbus.errors import OffbusError, Retryable, StepError, StepFailed, StepProblem
from offbus.journal.events import Outcome
from offbus.report.verdict import SKIPPED_ON_PURPOSE
from offbus.step import Outputs
from offbus.userinfo import without_userinfo

if TYPE_CHECKING:
    from offbus.language.cel.scope import Scope
    from offbus.language.scenario import Step
    from offbus.runner.context import StepContext

__all__ = ["Result", "attempt", "play_step"]


@dataclass(slots=True)
class Result:
    """The result of an attempt, and in the end of the step."""

    outcome: Outcome
    message: str = ""
    hint: str | None = None
    because: str | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)
    outputs: Outputs | None = None
    outputs_json: Mapping[str, Any] | None = None
    """The outputs as they are journaled."""
    bug: bool = False
    retry_after: timedelta | None = None
    """Set when a further attempt makes sense."""

    @property
    def satisfies(self) -> bool:
        """Whether steps that need this one may run."""
        return self.outcome is Outcome.PASSED or self.because == SKIPPED_ON_PURPOSE


async def attempt(step: "Step", context: "StepContext", scope: Callable[[], "Scope"]) -> Result:
    """Run the step's type once. Never raises anything but cancellation."""
    try:
        if step.when is not None and not step.when.evaluate(scope()):
            return Result(Outcome.SKIPPED, because=SKIPPED_ON_PURPOSE)
        params = step.params.static
        if params is None:
            params = step.params.resolve(scope())
        outputs = await step.type.load_run()(context, params)
        if not isinstance(outputs, step.type.outputs):
            return _bug(
                f"{step.uses} returned {type(outputs).__name__}, not {step.type.outputs.__name__}", ""
            )
        return Result(
            Outcome.PASSED, outputs=outputs, outputs_json=outputs.model_dump(mode="json", exclude_none=True)
        )
    except Exception as error:  # noqa: BLE001  the class of an error is its policy
        return outcome_of(error)


def outcome_of(error: Exception) -> Result:
    """The policy of an error, from its class.

    Of a task group's errors the first StepProblem decides and the others are added to it; a bug among them is a bug.
    """
    every = list(_single(error))
    known = [one for one in every if isinstance(one, OffbusError)]
    if len(known) < len(every):
        bug = next(one for one in every if not isinstance(one, OffbusError))
        return _bug(f"{type(bug).__name__}: {bug}", "".join(traceback.format_exception(error)))
    first = next((one for one in known if isinstance(one, StepProblem)), known[0])
    result = _policy(first)
    others = [one for one in known if one is not first]
    if not others:
        return result
    also = [{"message": one.message, "evidence": dict(getattr(one, "evidence", {}))} for one in others]
    message = f"{result.message}; also: {'; '.join(one.message for one in others)}"
    return replace(result, message=message, evidence={**result.evidence, "also": also})


def _single(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _single(one)
    else:
        yield error


def _policy(error: OffbusError) -> Result:
    if not isinstance(error, StepFailed | StepError):
        return Result(Outcome.ERRORED, error.message, error.hint)
    outcome = Outcome.FAILED if isinstance(error, StepFailed) else Outcome.ERRORED
    after = error.after if isinstance(error, Retryable) else None
    return Result(outcome, error.message, error.hint, evidence=dict(error.evidence), retry_after=after)


async def play_step(
    step: "Step",
    once: Callable[[int], Awaitable[Result]],
    between: Callable[[int, Result, timedelta], Awaitable[None]],
) -> Result:
    """All attempts of a step; `once` runs one, `between` undoes and waits before the next.

    An attempt whose result is no outcome of the step's `retry.on` is the last, and so is a bug.
    """
    number = 1
    while True:
        result = await once(number)
        wanted = not result.bug and result.outcome.value in step.retry.on
        if result.satisfies or not wanted or number >= step.retry.attempts:
            return result
        pause = max(step.retry.backoff * 2 ** (number - 1), result.retry_after or timedelta(0))
        await between(number, result, pause)
        number += 1


def _bug(message: str, trace: str) -> Result:
    evidence = {"traceback": without_userinfo(trace)} if trace else {}
    return Result(Outcome.ERRORED, without_userinfo(f"bug: {message}"), evidence=evidence, bug=True)
