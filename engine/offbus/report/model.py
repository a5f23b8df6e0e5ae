"""The shape of `report.json` (schema: schemas/report.json, made from these models).

The parts are plain dataclasses, because the fold makes one or two of them per event.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from offbus.declared import StatementTone
from offbus.journal.schemas import StopCause

__all__ = [
    "ExpectationReport",
    "FaultReport",
    "Instant",
    "MetricReport",
    "Proof",
    "Report",
    "ResidueReport",
    "StepReport",
    "StopReport",
    "Takeover",
    "TimelineEntry",
    "UndoReport",
    "UndoTry",
]

_STRICT = ConfigDict(extra="forbid")


@dataclass(slots=True, kw_only=True)
class Instant:
    """When something was journaled."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    seq: Annotated[int, Field(description="Number of the journal's event.")]
    t: Annotated[str, Field(description="UTC, microseconds.")]
    mono_ns: Annotated[int, Field(description="The runner's monotonic clock, nanoseconds.")]


@dataclass(slots=True, kw_only=True)
class MappedTime:
    """When something happened on another clock, mapped to the runner's."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    mono_ns: int
    error_ns: Annotated[int, Field(description="Half the round trip of the mapping.")]
    clock: str


@dataclass(slots=True, kw_only=True)
class ExpectationReport:
    """An expectation and its result."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    text: str
    result: Literal["true", "false", "error"]
    detail: str = ""


@dataclass(slots=True, kw_only=True)
class StepReport:
    """A step, in plan order."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

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
    evidence: dict[str, Any] = field(default_factory=dict)
    expectations: list[ExpectationReport] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Proof:
    """The first proof that a fault showed on a plane."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    at: Instant
    happened: Annotated[
        MappedTime | None, Field(description="By the clock of where it happened, where that is known.")
    ] = None
    evidence: dict[str, Any]
    brief: Annotated[str, Field(description="The evidence in one line.")] = ""


@dataclass(slots=True, kw_only=True)
class FaultReport:
    """A fault and its proofs."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    id: str
    subject: str
    step: str | None = None
    declared: Instant
    planes: Annotated[
        dict[str, Proof | None], Field(description="Each plane that needs a proof, with the first one.")
    ]
    missing: Annotated[dict[str, str], Field(description="What each plane without a proof lacks.")]
    proven: Annotated[bool, Field(description="Every plane has its proof.")]


@dataclass(slots=True, kw_only=True)
class MetricReport:
    """A measurement; the newest value of a name counts."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    value: float
    unit: str
    derived_from: Annotated[list[int], Field(description="Numbers of the events that it was derived from.")]
    step: str | None = None
    meaning: str = ""
    share: Annotated[bool, Field(description="A part of a whole, from 0 to 1.")] = False
    group: Annotated[str, Field(description="What begins its line in the closing lines.")] = ""
    label: Annotated[str, Field(description="How they tell it, `{}` being its value; empty: not at all.")] = (
        ""
    )


@dataclass(slots=True, kw_only=True)
class UndoTry:
    """One try of an undo."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    by: str
    result: Literal["restored", "nothing", "conflict", "failed", "interrupted"]
    detail: str = ""
    evidence: dict[str, Any] = field(default_factory=dict)
    started: Instant
    ended: Instant | None = None


@dataclass(slots=True, kw_only=True)
class UndoReport:
    """An undo, in the order of its record."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    undo: int
    step: str | None
    type: str
    phase: str
    describe: str
    result: Literal["restored", "nothing", "conflict", "failed", "pending"]
    recorded: Instant
    tries: list[UndoTry] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class SettlingReport:
    """What was undone, watched as long as others might still act on it."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    what: str
    """The undo."""
    limit_s: float
    """How long they might."""
    watched_s: float
    result: Literal["quiet", "undone_again", "conflict", "unwatched"]
    detail: str
    """What showed and was undone once more, or why it was not watched to the end."""


@dataclass(slots=True, kw_only=True)
class ResidueReport:
    """Something that is not as it was before the run."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    item: str
    detail: str
    fix: Annotated[str, Field(validation_alias=AliasChoices("fix", "mend"))]
    """What to do about it. Reports of offbus 0.1 call it `mend`."""


@dataclass(slots=True, kw_only=True)
class StopReport:
    """Why a run stopped before its steps had all ended."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    cause: StopCause
    reason: str
    at: Instant


@dataclass(slots=True, kw_only=True)
class Takeover:
    """Another process took the run over."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    by: str
    host: str
    at: Instant


@dataclass(slots=True, kw_only=True)
class TimelineEntry:
    """One thing that happened, in the order in which the runner learnt of it."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    seq: int
    t: str
    mono_ns: int
    lane: str
    subject: str
    what: str
    was: str | None = None
    step: str | None = None
    happened: MappedTime | None = None
    evidence: dict[str, Any] = field(default_factory=dict)
    tone: StatementTone | None = None
    brief: Annotated[str, Field(description="The evidence in one line.")] = ""


class Report(BaseModel):
    """What a run did and proved."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    format: Literal[1] = 1
    run: str
    name: str
    summary: str
    verdict: Literal["passed", "failed", "errored", "aborted"] = Field(
        description="aborted: the journal ends before the run did; `offbus recover` finishes it."
    )
    vacuous: bool = Field(description="No fault was proven: the drill showed nothing.")
    reasons: list[str] = Field(description="Why it did not pass; empty when it passed.")
    needs_attention: list[str] = Field(
        default_factory=list,
        description="Why a human must act, whatever the verdict is; changes neither verdict nor exit.",
    )
    settling: list[SettlingReport] = Field(
        default_factory=list,
        description="What was watched after the undo, because others might still act on it.",
    )
    stops: list[StopReport] = Field(
        default_factory=list,
        description="Why it stopped before its steps had all ended. Absent, as `takeovers`, in reports of offbus 0.1.",
    )
    takeovers: list[Takeover] = Field(
        default_factory=list, description="Other processes that took it over, in order."
    )
    exit: int
    complete: bool
    scenario: str
    digest: str
    inputs: dict[str, Any] = Field(default_factory=dict, description="Each input with its value.")
    cell: str | None = Field(None, description="Id of the cell, where the scenario has a matrix.")
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

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """Short: asyncio shows a task with its result when it ends, and a whole report takes 40 µs a step to show."""
        return (("run", self.run), ("verdict", self.verdict), ("exit", self.exit))
