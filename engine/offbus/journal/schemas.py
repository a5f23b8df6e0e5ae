"""The schema of the data of every kind of event that a journal may hold (offbus.journal.events).

TypedDicts: free at run time, checked by mypy where an event is written and read (offbus.journal.kinds joins each to its
kind), and by pydantic where a line is read. Each text says whose words it holds (offbus.journal.origin).
"""

from typing import Annotated, Literal, NotRequired

from typing_extensions import Doc, TypedDict

from offbus.declared import StatementTone
from offbus.journal.origin import Facts, Own, Retained, Told

__all__ = [
    "Adopted",
    "AttemptEnded",
    "EnvironmentOpened",
    "Expectation",
    "ExpectationResult",
    "FaultDeclared",
    "FaultProven",
    "Fingerprint",
    "Mapped",
    "Metric",
    "NeedsAttention",
    "Observed",
    "Phase",
    "PhaseName",
    "Residue",
    "RunEnded",
    "SettlingResult",
    "StepEnded",
    "StepOutcome",
    "StepReady",
    "StepStarted",
    "StopCause",
    "Stopped",
    "UndoEnded",
    "UndoRecorded",
    "UndoStarted",
    "Watched",
]


class Adopted(TypedDict):
    """Another process took the run over."""

    by: Own
    """Who takes the run over."""
    host: Own
    """On which machine."""
    pid: int
    """In which process."""
    epoch: int
    """Counts those that have owned the run; a lower one may do nothing more."""
    torn_bytes: int
    """Bytes of a torn last line that were cut off."""


class EnvironmentOpened(TypedDict):
    """What `reopen` needs; the newest one counts."""

    environment: Own
    """Type of the environment."""
    state: Retained
    """What it needs to be opened again, its own affair."""


class Fingerprint(TypedDict):
    """Everything that the run may touch, before and after."""

    when: Literal["before", "after"]
    """Before the first step, or after the last undo."""
    items: Retained
    """What there is, by name."""


PhaseName = Literal["open", "steps", "always", "undo", "settle", "close"]


class Phase(TypedDict):
    """The run enters another phase."""

    name: PhaseName
    """Which phase begins."""


class StepStarted(TypedDict):
    """An attempt begins."""

    attempt: int
    """Number of the attempt, from 1."""


class StepReady(TypedDict):
    """A background step is ready."""


class AttemptEnded(TypedDict):
    """An attempt failed and another follows."""

    attempt: int
    """Number of the attempt, from 1."""
    outcome: Own
    """How it ended."""
    message: Told
    """What the step said."""
    again_in_s: float
    """Seconds until the next attempt."""


StepOutcome = Literal["passed", "failed", "errored", "timed_out", "skipped", "cancelled"]
"""The values of offbus.journal.events.Outcome."""


class StepEnded(TypedDict):
    """A step has ended; exactly one a step."""

    outcome: StepOutcome
    """How the step ended."""
    attempts: int
    """How often it was tried."""
    because: NotRequired[Told]
    """For skipped and cancelled: why ("when", "step deploy failed", "signal SIGINT")."""
    message: NotRequired[Told]
    """What it said when it failed."""
    hint: NotRequired[Told]
    """What to do about it."""
    evidence: NotRequired[Facts]
    """What it saw, as it says it."""
    outputs: NotRequired[Facts]
    """What it put out, by name."""
    bug: NotRequired[bool]
    """The step raised something that it should not have."""


class UndoRecorded(TypedDict):
    """Written and fsynced before the effect; once more under its number when the effect told what was missing."""

    undo: int
    """Number of the undo in this run, from 1; of several with one number the last one counts."""
    type: Own
    """Its undo type."""
    distribution: Own
    """The package that brought the undo type."""
    phase: Own
    """In which of the two passes it is undone."""
    describe: Told
    """What it undoes, in words."""
    record: Retained
    """What it needs for that, its own affair."""


class UndoStarted(TypedDict):
    """An undo is tried."""

    undo: int
    """Number of the undo in this run, from 1."""
    attempt: int
    """Number of the try, from 1."""
    by: Own
    """runner, stop (at once after a stop), cleanup, retry or recover."""


class UndoEnded(TypedDict):
    """A try of an undo has ended; `restored` and `nothing` resolve it."""

    undo: int
    """Number of the undo in this run, from 1."""
    attempt: int
    """Number of the try, from 1."""
    result: Literal["restored", "nothing", "conflict", "failed"]
    """What became of it."""
    detail: Told
    """What was found or done."""
    evidence: Facts
    """What was seen, as the undo says it."""


class Mapped(TypedDict):
    """A time on another clock, mapped to this journal's clock."""

    mono_ns: int
    """The runner's monotonic clock, nanoseconds."""
    error_ns: int
    """Half the round trip of the mapping."""
    clock: Own
    """Whose clock it was read from: the boot id."""


class Observed(TypedDict):
    """Something in the world changed."""

    lane: Own
    """Under which heading it stands."""
    subject: Own
    """What it happened to."""
    to: Told
    """What it is now."""
    was: NotRequired[Told]
    """What it was before."""
    evidence: NotRequired[Facts]
    """What was seen, as the step says it."""
    at: NotRequired[Mapped]
    """By the clock of where it happened."""
    tone: NotRequired[StatementTone]
    """Whether it is good or bad news."""
    brief: NotRequired[Told]
    """The evidence in one line; absent when nobody looks for it."""


Metric = TypedDict(
    "Metric",
    {
        "name": Annotated[Own, Doc("Name of the metric.")],
        "value": Annotated[float, Doc("What was measured; a duration in seconds.")],
        "unit": Annotated[Own, Doc("Of the value.")],
        "from": Annotated[list[int], Doc("Numbers of the events that it was derived from.")],
    },
)
"""A measurement; `from` names the events that it was derived from."""


class FaultDeclared(TypedDict):
    """A fault is about to be injected."""

    fault: Own
    """Id of the fault."""
    subject: Own
    """What it is meant for."""
    planes: dict[str, Own]
    """Each plane, with what is missing when it has no proof."""


class FaultProven(TypedDict):
    """Proof, on the target, that a fault shows on a plane."""

    fault: Own
    """Id of the fault."""
    plane: Own
    """Where it showed."""
    evidence: Facts
    """What was seen, as the step says it."""
    at: NotRequired[Mapped]
    """By the clock of where it happened."""
    brief: NotRequired[Told]
    """The evidence in one line."""


class NeedsAttention(TypedDict):
    """A human must act, whatever the verdict is."""

    reason: Told
    """Why."""


SettlingResult = Literal["quiet", "undone_again", "conflict", "unwatched"]
"""unwatched: the watch was ended, or was not possible."""


class Watched(TypedDict):
    """What was undone was watched, as long as others might still act on it."""

    undo: int
    """Number of the undo in this run, from 1."""
    limit_s: float
    """How long they might."""
    watched_s: float
    """How long it was watched, seconds."""
    result: SettlingResult
    """What the watch has shown."""
    detail: Told
    """What showed and was undone once more, or why it was not watched to the end."""


ExpectationResult = Literal["true", "false", "error"]


class Expectation(TypedDict):
    """An expectation was evaluated; the step is absent for those of the whole run."""

    text: Own
    """The expression as the scenario has it."""
    result: ExpectationResult
    """What it came to; error: it could not be evaluated, which counts as false."""
    detail: Told
    """The values in it, or why it could not be evaluated."""


StopCause = Literal["signal", "guard", "timeout", "environment", "journal", "bug", "killed"]


class Stopped(TypedDict):
    """Why the run stopped before its steps had all ended."""

    cause: StopCause
    """What stopped it."""
    reason: Told
    """In words."""


class Residue(TypedDict):
    """Something that is not as it was."""

    item: Own
    """What is not as it was."""
    detail: Told
    """How it is, and how it was."""
    fix: Told
    """What to do about it."""


class RunEnded(TypedDict):
    """Last event of a finished run."""

    verdict: Literal["passed", "failed", "errored"]
    """What the run has shown."""
    reasons: list[Told]
    """Why it did not pass; empty when it passed."""
    exit: int
    """The exit status."""
