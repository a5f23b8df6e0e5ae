"""The shape of `report.json` (schema: schemas/report.json, made from these models)."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "ExpectationReport",
    "FaultReport",
    "Instant",
    "MetricReport",
    "Proof",
    "Report",
    "ResidueReport",
    "StepReport",
    "TimelineEntry",
    "UndoReport",
    "UndoTry",
]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", defer_build=True)


class Instant(_Model):
    """When something was journaled."""

    seq: int = Field(description="Number of the journal's event.")
    t: str = Field(description="UTC, microseconds.")
    mono_ns: int = Field(description="The runner's monotonic clock, nanoseconds.")


class MappedTime(_Model):
    """When something happened on another clock, mapped to the runner's."""

    mono_ns: int
    error_ns: int = Field(description="Half the round trip of the mapping.")
    clock: str


class ExpectationReport(_Model):
    """An expectation and what became of it."""

    text: str
    result: Literal["true", "false", "error"]
    detail: str = ""


class StepReport(_Model):
    """A step, in plan order."""

    id: str
    uses: str
    kind: Literal["action", "observation"]
    background: bool = False
    always: bool = False
    outcome: Literal["passed", "failed", "errored", "timed_out", "skipped", "cancelled", "running", "pending"]
    because: str | None = None
    message: str | None = None
    hint: str | None = None
    attempts: int = 0
    started: Instant | None = None
    ended: Instant | None = None
    duration_s: float | None = None
    outputs: dict[str, Any] | None = None
    evidence: dict[str, Any] = Field(default_factory=dict)
    expectations: list[ExpectationReport] = Field(default_factory=list)


class Proof(_Model):
    """The first proof that a fault showed on a plane."""

    at: Instant
    happened: MappedTime | None = Field(default=None, description="On the node's clock, where that is known.")
    evidence: dict[str, Any]


class FaultReport(_Model):
    """A fault and its proofs."""

    id: str
    subject: str
    step: str | None = None
    declared: Instant
    planes: dict[str, Proof | None] = Field(description="Each plane that needs a proof, with the first one.")
    missing: dict[str, str] = Field(description="What each plane without a proof lacks.")
    proven: bool = Field(description="Every plane has its proof.")


class MetricReport(_Model):
    """A measurement; the newest value of a name counts."""

    value: float
    unit: str
    derived_from: list[int] = Field(description="Numbers of the events that it was derived from.")
    step: str | None = None


class UndoTry(_Model):
    """One try of an undo."""

    by: str
    result: Literal["restored", "nothing", "conflict", "failed", "interrupted"]
    detail: str = ""
    evidence: dict[str, Any] = Field(default_factory=dict)
    started: Instant
    ended: Instant | None = None


class UndoReport(_Model):
    """An undo, in the order of its record."""

    undo: int
    step: str | None
    type: str
    phase: str
    describe: str
    result: Literal["restored", "nothing", "conflict", "failed", "pending"]
    recorded: Instant
    tries: list[UndoTry] = Field(default_factory=list)


class ResidueReport(_Model):
    """Something that is not as it was before the run."""

    item: str
    detail: str
    mend: str


class TimelineEntry(_Model):
    """One thing that happened, in the order in which the runner learnt of it."""

    seq: int
    t: str
    mono_ns: int
    lane: str
    subject: str
    what: str
    was: str | None = None
    step: str | None = None
    happened: MappedTime | None = None
    evidence: dict[str, Any] = Field(default_factory=dict)


class Report(_Model):
    """What a run did and proved."""

    format: Literal[1] = 1
    run: str
    name: str
    summary: str
    verdict: Literal["passed", "failed", "errored", "aborted"] = Field(
        description="aborted: the journal ends before the run did; `offbus recover` finishes it."
    )
    vacuous: bool = Field(description="No fault was proven: the drill showed nothing.")
    reasons: list[str] = Field(description="Why it did not pass; empty when it passed.")
    exit: int
    complete: bool
    scenario: str
    digest: str
    environment: str
    identity: str
    host: str
    versions: dict[str, str]
    started: Instant
    ended: Instant | None
    duration_s: float
    clock: str
    steps: list[StepReport]
    expectations: list[ExpectationReport]
    faults: list[FaultReport]
    metrics: dict[str, MetricReport]
    undos: list[UndoReport]
    residue: list[ResidueReport]
    timeline: list[TimelineEntry]
