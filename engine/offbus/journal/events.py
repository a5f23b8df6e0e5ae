"""Every kind of event that a journal may hold, with the schema of its data.

One event = `{v, seq, run, t, mono_ns, clock, kind, step?, data, crc}`:

- `v`        format version, 1
- `seq`      1, 2, 3 … without a gap
- `run`      the run's id
- `t`        UTC, microseconds, "2026-01-31T12:00:00.000000Z"
- `mono_ns`  the runner's monotonic clock (CLOCK_BOOTTIME where there is one), nanoseconds
- `clock`    whose clock that is: the boot id; events of one clock are ordered by `mono_ns`, and always by `seq`
- `step`     the step that it belongs to
- `crc`      CRC-32 of the line up to `,"crc"`, eight hex digits

The engine's kinds are closed: a journal folds without any plugin. What steps have to say goes through `observed`,
`metric`, `fault_declared` and `fault_proven`.
"""

from enum import StrEnum
from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

__all__ = ["DATA", "VERSION", "Event", "EventKind", "Outcome"]

VERSION = 1


class EventKind(StrEnum):
    """All kinds."""

    RUN_STARTED = "run_started"
    ADOPTED = "adopted"
    ENVIRONMENT_OPENED = "environment_opened"
    FINGERPRINT = "fingerprint"
    PHASE = "phase"
    STEP_STARTED = "step_started"
    STEP_READY = "step_ready"
    ATTEMPT_ENDED = "attempt_ended"
    STEP_ENDED = "step_ended"
    UNDO_RECORDED = "undo_recorded"
    UNDO_STARTED = "undo_started"
    UNDO_ENDED = "undo_ended"
    OBSERVED = "observed"
    METRIC = "metric"
    FAULT_DECLARED = "fault_declared"
    FAULT_PROVEN = "fault_proven"
    EXPECTATION = "expectation"
    STOPPED = "stopped"
    RESIDUE = "residue"
    RUN_ENDED = "run_ended"


class Outcome(StrEnum):
    """How a step ended."""

    PASSED = "passed"
    FAILED = "failed"
    ERRORED = "errored"
    TIMED_OUT = "timed_out"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


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


class RunStarted(TypedDict):
    """First event of every journal."""

    name: str
    summary: str
    scenario: str
    """Path of the file as given."""
    digest: str
    """SHA-256 of its bytes."""
    environment: str
    identity: str
    """Names the place that the run acts on; two runs on one place exclude each other."""
    versions: dict[str, str]
    """offbus, python, platform, and each distribution that brought a plugin in use."""
    steps: list[PlannedStep]
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


class Phase(TypedDict):
    """The run goes on to another part."""

    name: Literal["open", "steps", "always", "undo", "close"]


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


class StepEnded(TypedDict):
    """A step has ended; exactly one a step."""

    outcome: str
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
    """Written and fsynced before the effect."""

    undo: int
    """Number of the undo in this run, from 1."""
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
    """A try of an undo has ended; `restored` and `nothing` settle it."""

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


class Expectation(TypedDict):
    """An expectation was evaluated; the step is absent for those of the whole run."""

    text: str
    result: Literal["true", "false", "error"]
    detail: str


class Stopped(TypedDict):
    """Why the run stopped before its steps had all ended."""

    cause: Literal["signal", "guard", "timeout", "environment", "journal", "bug", "killed"]
    reason: str


class Residue(TypedDict):
    """Something that is not as it was."""

    item: str
    detail: str
    mend: str


class RunEnded(TypedDict):
    """Last event of a finished run."""

    verdict: Literal["passed", "failed", "errored"]
    reasons: list[str]
    exit: int


DATA: dict[EventKind, Any] = {
    EventKind.RUN_STARTED: RunStarted,
    EventKind.ADOPTED: Adopted,
    EventKind.ENVIRONMENT_OPENED: EnvironmentOpened,
    EventKind.FINGERPRINT: Fingerprint,
    EventKind.PHASE: Phase,
    EventKind.STEP_STARTED: StepStarted,
    EventKind.STEP_READY: StepReady,
    EventKind.ATTEMPT_ENDED: AttemptEnded,
    EventKind.STEP_ENDED: StepEnded,
    EventKind.UNDO_RECORDED: UndoRecorded,
    EventKind.UNDO_STARTED: UndoStarted,
    EventKind.UNDO_ENDED: UndoEnded,
    EventKind.OBSERVED: Observed,
    EventKind.METRIC: Metric,
    EventKind.FAULT_DECLARED: FaultDeclared,
    EventKind.FAULT_PROVEN: FaultProven,
    EventKind.EXPECTATION: Expectation,
    EventKind.STOPPED: Stopped,
    EventKind.RESIDUE: Residue,
    EventKind.RUN_ENDED: RunEnded,
}
"""The schema of each kind's data (TypedDicts: free at run time, checked by mypy, and by pydantic in reader tests)."""


class Event(TypedDict):
    """One line of a journal."""

    v: int
    seq: int
    run: str
    t: str
    mono_ns: int
    clock: str
    kind: str
    step: NotRequired[str]
    data: dict[str, Any]
