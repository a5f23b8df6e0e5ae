"""The errors of the engine; the class of an error is its policy.

    OffbusError
    ├── UsageError            the user asked for something impossible: exit 2, nothing was touched
    ├── CouldNotRun           a refused guard, an unfinished run, a run folder that cannot be written: exit 3
    │   ├── GuardRefused
    │   ├── EnvironmentGone   what a run acted on is proven to be gone, with all that the run did in it
    │   ├── TakenOver         another process owns the run now: nothing more is changed, not even undone
    │   └── JournalError      the journal cannot be written (or read): inject nothing, undo what is done
    └── StepProblem           raised by steps and undos
        ├── StepFailed        the world did not do what was expected          -> outcome failed,  exit 1
        ├── StepError         we could not do it; a refused call              -> outcome errored, exit 3
        └── Retryable(after)  like StepError, but a further attempt makes sense

Anything else that a step raises is a bug: it is reported as one, with its traceback in the log, never on the
screen alone, and the run ends as errored.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from offbus.userinfo import without_userinfo

__all__ = [
    "CouldNotRun",
    "EnvironmentGone",
    "GuardRefused",
    "JournalError",
    "OffbusError",
    "Retryable",
    "StepError",
    "StepFailed",
    "StepProblem",
    "TakenOver",
    "UsageError",
    "only_one",
    "ungrouped",
]


class OffbusError(Exception):
    """The root. `message` says what and why; `hint` says how to fix it. URLs in both lose their userinfo."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        self.message = without_userinfo(message)
        self.hint = hint and without_userinfo(hint)
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class UsageError(OffbusError):
    """Raised when what the user asked for cannot be done; exit code 2."""


class CouldNotRun(OffbusError):
    """Raised when a run cannot start or continue for reasons outside the scenario's steps; exit code 3."""


class GuardRefused(CouldNotRun):
    """Raised by an environment when a guard does not hold; `message` names the guard and the shortage."""


class EnvironmentGone(CouldNotRun):
    """Raised by an environment when it is reopened and proven to be gone: all undos are resolved."""


class TakenOver(CouldNotRun):
    """Raised when another process has taken the run over; `message` says who."""


class JournalError(CouldNotRun):
    """Raised when the journal cannot be written or read back."""


class StepProblem(OffbusError):
    """What a step raises. `evidence` is journaled with the outcome (JSON values only, no secrets)."""

    def __init__(
        self, message: str, *, hint: str | None = None, evidence: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.evidence: Mapping[str, Any] = {
            key: without_userinfo(one) if isinstance(one, str) else one
            for key, one in (evidence or {}).items()
        }


class StepFailed(StepProblem):
    """Raised when the world did not do what was expected, an effect that did not show included."""


class StepError(StepProblem):
    """Raised when we could not do it: a refused call, an unreachable agent."""


class Retryable(StepError):
    """Raised when a further attempt makes sense, not before `after`."""

    def __init__(
        self,
        message: str,
        *,
        after: timedelta = timedelta(0),
        hint: str | None = None,
        evidence: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message, hint=hint, evidence=evidence)
        self.after = after


def only_one(error: BaseException) -> BaseException:
    """The exception itself, out of the groups that task groups wrap around a single one."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


@contextmanager
def ungrouped() -> Iterator[None]:
    """Around a task group: an exception that is the only one leaves it as it was raised; several remain a group."""
    try:
        yield
    except BaseExceptionGroup as group:
        one = only_one(group)
        raise one from one.__cause__
