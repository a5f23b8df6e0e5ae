"""The schema of the data of every kind of event that a journal may hold (offbus.journal.events).

TypedDicts: free at run time, checked by mypy where an event is written and read (offbus.journal.kinds joins each to its
kind), and by pydantic where a line is read.
"""

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from offbus.declared import StatementTone

__all__ = [
    "Adopted",
    "AttemptEnded",
    "DeclaredLane",
    "DeclaredMetric",
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
    "PlannedStep",
    "Residue",
    "RunEnded",
    "RunStarted",
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


class PlannedStep(TypedDict):
    """A step as the run intends it."""

    id: str
    uses: str
    kind: Literal["action", "observation"]
    needs: list[str]
    background: bool
    always: bool
    injects: bool
    timeout_s: float


class DeclaredMetric(TypedDict):
    """What differs from the defaults of offbus.declared.Metric."""

    type: Literal["double", "int", "duration"]
    meaning: NotRequired[str]
    unit: NotRequired[str]
    share: NotRequired[bool]
    group: NotRequired[str]
    label: NotRequired[str]
    order: NotRequired[int]
    often: NotRequired[bool]


class DeclaredLane(TypedDict):
    """What differs from the defaults of offbus.declared.Lane."""

    name: str
    title: NotRequired[str]
    seed: NotRequired[str]
    several: NotRequired[bool]
    where: NotRequired[str]
    count: NotRequired[str]
    gone: NotRequired[str]
    feed: NotRequired[bool]
    metrics: NotRequired[str]


class RunStarted(TypedDict):
    """First event of every journal."""

    name: str
    summary: str
    scenario: str
    """Path of the file as given."""
    digest: str
    """SHA-256 of its bytes."""
    inputs: NotRequired[dict[str, Any]]
    """Each with its value. Absent in journals of offbus 0.1."""
    cell: NotRequired[str]
    """Id of the cell, where the scenario has a matrix."""
    environment: str
    identity: str
    """Names the environment that the run acts on; two runs in one environment exclude each other."""
    versions: dict[str, str]
    """offbus, python, platform, and each distribution that brought a plugin in use."""
    steps: list[PlannedStep]
    metrics: NotRequired[dict[str, DeclaredMetric]]
    """Those of the step types in use. Absent, as `lanes`, in journals of offbus 0.1."""
    lanes: NotRequired[list[DeclaredLane]]
    """The environment's, in order."""
    expect: list[str]
    timeout_s: float
    undo_timeout_s: float
    host: str
    pid: int


class Adopted(TypedDict):
    """Another process took the run over."""

    by: str
    host: str
    pid: int
    epoch: int
    torn_bytes: int
    """Bytes of a torn last line that were cut off."""


class EnvironmentOpened(TypedDict):
    """What `reopen` needs; the newest one counts."""

    environment: str
    state: dict[str, Any]


class Fingerprint(TypedDict):
    """Everything that the run may touch, before and after."""

    when: Literal["before", "after"]
    items: dict[str, Any]


PhaseName = Literal["open", "steps", "always", "undo", "settle", "close"]


class Phase(TypedDict):
    """The run enters another phase."""

    name: PhaseName


class StepStarted(TypedDict):
    """An attempt begins."""

    attempt: int


class StepReady(TypedDict):
    """A background step is ready."""


class AttemptEnded(TypedDict):
    """An attempt failed and another follows."""

    attempt: int
    outcome: str
    message: str
    again_in_s: float


StepOutcome = Literal["passed", "failed", "errored", "timed_out", "skipped", "cancelled"]
"""The values of offbus.journal.events.Outcome."""


class StepEnded(TypedDict):
    """A step has ended; exactly one a step."""

    outcome: StepOutcome
    attempts: int
    because: NotRequired[str]
    """For skipped and cancelled: why ("when", "step deploy failed", "signal SIGINT")."""
    message: NotRequired[str]
    hint: NotRequired[str]
    evidence: NotRequired[dict[str, Any]]
    outputs: NotRequired[dict[str, Any]]
    bug: NotRequired[bool]
    """The step raised something that it should not have."""


class UndoRecorded(TypedDict):
    """Written and fsynced before the effect; once more under its number when the effect told what was missing."""

    undo: int
    """Number of the undo in this run, from 1; of several with one number the last one counts."""
    type: str
    distribution: str
    phase: str
    describe: str
    record: dict[str, Any]


class UndoStarted(TypedDict):
    """An undo is tried."""

    undo: int
    attempt: int
    by: str
    """runner, stop (at once after a stop), cleanup, retry or recover."""


class UndoEnded(TypedDict):
    """A try of an undo has ended; `restored` and `nothing` resolve it."""

    undo: int
    attempt: int
    result: Literal["restored", "nothing", "conflict", "failed"]
    detail: str
    evidence: dict[str, Any]


class Mapped(TypedDict):
    """A time on another clock, mapped to this journal's clock."""

    mono_ns: int
    error_ns: int
    clock: str


class Observed(TypedDict):
    """Something in the world changed."""

    lane: str
    subject: str
    to: str
    was: NotRequired[str]
    evidence: NotRequired[dict[str, Any]]
    at: NotRequired[Mapped]
    tone: NotRequired[StatementTone]
    brief: NotRequired[str]
    """The evidence in one line; absent when nobody looks for it."""


Metric = TypedDict("Metric", {"name": str, "value": float, "unit": str, "from": list[int]})
"""A measurement; `from` names the events that it was derived from."""


class FaultDeclared(TypedDict):
    """A fault is about to be injected."""

    fault: str
    subject: str
    planes: dict[str, str]
    """Each plane, with what is missing when it has no proof."""


class FaultProven(TypedDict):
    """Proof, on the target, that a fault shows on a plane."""

    fault: str
    plane: str
    evidence: dict[str, Any]
    at: NotRequired[Mapped]
    brief: NotRequired[str]


class NeedsAttention(TypedDict):
    """A human must act, whatever the verdict is."""

    reason: str


SettlingResult = Literal["quiet", "undone_again", "conflict", "unwatched"]
"""unwatched: the watch was ended, or was not possible."""


class Watched(TypedDict):
    """What was undone was watched, as long as others might still act on it."""

    undo: int
    limit_s: float
    """How long they might."""
    watched_s: float
    result: SettlingResult
    detail: str


ExpectationResult = Literal["true", "false", "error"]


class Expectation(TypedDict):
    """An expectation was evaluated; the step is absent for those of the whole run."""

    text: str
    result: ExpectationResult
    detail: str


StopCause = Literal["signal", "guard", "timeout", "environment", "journal", "bug", "killed"]


class Stopped(TypedDict):
    """Why the run stopped before its steps had all ended."""

    cause: StopCause
    reason: str


class Residue(TypedDict):
    """Something that is not as it was."""

    item: str
    detail: str
    fix: str


class RunEnded(TypedDict):
    """Last event of a finished run."""

    verdict: Literal["passed", "failed", "errored"]
    reasons: list[str]
    exit: int
