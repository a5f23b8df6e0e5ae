"""The shape of `report.json` (schema: schemas/report.json, made from these models).

The parts are plain dataclasses, because the fold makes one or two of them per event.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from offbus.declared import StatementTone
from offbus.journal.schemas import StopCause
from offbus.json_schemas import TIME, Schema, described, published

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
    "report_schema",
]

_STRICT = ConfigDict(extra="forbid")


@dataclass(slots=True, kw_only=True)
class Instant:
    """When something was journaled."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    seq: Annotated[int, Field(description="Number of the journal's event.")]
    t: Annotated[str, Field(description="UTC, microseconds.", json_schema_extra=TIME)]
    mono_ns: Annotated[int, Field(description="The runner's monotonic clock, nanoseconds.")]


@dataclass(slots=True, kw_only=True)
class MappedTime:
    """When something happened on another clock, mapped to the runner's."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    mono_ns: int
    """The runner's monotonic clock, nanoseconds."""
    error_ns: Annotated[int, Field(description="Half the round trip of the mapping.")]
    clock: str
    """Whose clock it was read from: the boot id."""


@dataclass(slots=True, kw_only=True)
class ExpectationReport:
    """An expectation and its result."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    text: str
    """The expression as the scenario has it."""
    result: Literal["true", "false", "error"]
    """What it came to; error: it could not be evaluated, which counts as false."""
    detail: str = ""
    """The values in it, or why it could not be evaluated."""


@dataclass(slots=True, kw_only=True)
class StepReport:
    """A step, in plan order."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    id: str
    """Its id in the scenario."""
    uses: str
    """Its step type."""
    kind: Literal["action", "observation"]
    """Whether it changes the world or only looks."""
    background: bool = False
    """It ran beside the steps below it."""
    always: bool = False
    """It runs after a failure or a timeout, too."""
    outcome: Literal["passed", "failed", "errored", "timed_out", "skipped", "cancelled", "running", "pending"]
    """How it ended; running and pending where the journal ends before."""
    because: str | None = None
    """Why it was skipped or cancelled."""
    message: str | None = None
    """What it said when it failed."""
    hint: str | None = None
    """What to do about it."""
    attempts: int = 0
    """How often it was tried."""
    started: Instant | None = None
    """When its first attempt began."""
    ended: Instant | None = None
    """When its last attempt ended."""
    duration_s: float | None = None
    """Seconds from the one to the other."""
    outputs: dict[str, Any] | None = None
    """What it put out, by name."""
    evidence: dict[str, Any] = field(default_factory=dict)
    """What it saw, as it says it."""
    expectations: list[ExpectationReport] = field(default_factory=list)
    """Those of its own `expect`."""


@dataclass(slots=True, kw_only=True)
class Proof:
    """The first proof that a fault showed on a plane."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    at: Instant
    """When it was journaled."""
    happened: Annotated[
        MappedTime | None, Field(description="By the clock of where it happened, where that is known.")
    ] = None
    evidence: dict[str, Any]
    """What was seen, as the step says it."""
    brief: Annotated[str, Field(description="The evidence in one line.")] = ""


@dataclass(slots=True, kw_only=True)
class FaultReport:
    """A fault and its proofs."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    id: str
    """Its id, which names it on the faulted machine, too."""
    subject: str
    """What it was meant for."""
    step: str | None = None
    """The step that injected it."""
    declared: Instant
    """When it was about to be injected."""
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
    """The newest value."""
    unit: str
    """Of the value: s, share, count …"""
    derived_from: Annotated[list[int], Field(description="Numbers of the events that it was derived from.")]
    step: str | None = None
    """The step that measured it."""
    meaning: str = ""
    """What it measures."""
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
    """Who tried: runner, stop (at once after a stop), cleanup, retry or recover."""
    result: Literal["restored", "nothing", "conflict", "failed", "interrupted"]
    """What became of it; interrupted: the journal says no more of it."""
    detail: str = ""
    """What was found or done."""
    evidence: dict[str, Any] = field(default_factory=dict)
    """What was seen, as the undo says it."""
    started: Instant
    """When it began."""
    ended: Instant | None = None
    """When it ended."""


@dataclass(slots=True, kw_only=True)
class UndoReport:
    """An undo, in the order of its record."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    undo: int
    """Its number in the run, from 1."""
    step: str | None
    """The step whose effect it undoes."""
    type: str
    """Its undo type."""
    phase: str
    """In which of the two passes it is undone."""
    describe: str
    """What it undoes, in words."""
    result: Literal["restored", "nothing", "conflict", "failed", "pending"]
    """What became of it in the end; pending: nobody has tried to the end."""
    recorded: Instant
    """When it was recorded, before the effect."""
    tries: list[UndoTry] = field(default_factory=list)
    """All tries, in order."""


@dataclass(slots=True, kw_only=True)
class SettlingReport:
    """What was undone, watched as long as others might still act on it."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    what: str
    """The undo."""
    limit_s: float
    """How long they might."""
    watched_s: float
    """How long it was watched."""
    result: Literal["quiet", "undone_again", "conflict", "unwatched"]
    """What the watch has shown; unwatched: it was ended, or was not possible."""
    detail: str
    """What showed and was undone once more, or why it was not watched to the end."""


@dataclass(slots=True, kw_only=True)
class ResidueReport:
    """Something that is not as it was before the run."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    item: str
    """What is not as it was."""
    detail: str
    """How it is, and how it was."""
    fix: Annotated[str, Field(validation_alias=AliasChoices("fix", "mend"))]
    """What to do about it. Reports of offbus 0.1 call it `mend`."""


@dataclass(slots=True, kw_only=True)
class StopReport:
    """Why a run stopped before its steps had all ended."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    cause: StopCause
    """What stopped it."""
    reason: str
    """In words."""
    at: Instant
    """When."""


@dataclass(slots=True, kw_only=True)
class Takeover:
    """Another process took the run over."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    by: str
    """Who took it over: recover, reaper …"""
    host: str
    """On which machine."""
    at: Instant
    """When."""


@dataclass(slots=True, kw_only=True)
class TimelineEntry:
    """One thing that happened, in the order in which the runner learnt of it."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    seq: int
    """Number of the journal's event."""
    t: Annotated[str, Field(json_schema_extra=TIME)]
    """When it was journaled: UTC, microseconds."""
    mono_ns: int
    """The runner's monotonic clock, nanoseconds."""
    lane: str
    """Under which heading it stands."""
    subject: str
    """What it happened to."""
    what: str
    """What happened."""
    was: str | None = None
    """What was there before."""
    step: str | None = None
    """The step during which it was seen."""
    happened: MappedTime | None = None
    """By the clock of where it happened, where that is known."""
    evidence: dict[str, Any] = field(default_factory=dict)
    """What was seen, as the step says it."""
    tone: StatementTone | None = None
    """Whether it is good or bad news, where the one who saw it says so."""
    brief: Annotated[str, Field(description="The evidence in one line.")] = ""


class Report(BaseModel):
    """What a run did and proved."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    format: Literal[1] = 1
    """Version of this format."""
    run: str
    """Id of the run."""
    name: str
    """The scenario's name."""
    summary: str
    """The scenario's summary."""
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
    """The exit status of the run: 0 passed, 1 failed, 3 could not run, 4 residue, 130 interrupted and clean."""
    complete: bool
    """The journal has its last event."""
    scenario: str
    """Path of the scenario as given."""
    digest: str
    """SHA-256 of its bytes."""
    inputs: dict[str, Any] = Field(default_factory=dict, description="Each input with its value.")
    cell: str | None = Field(None, description="Id of the cell, where the scenario has a matrix.")
    environment: str
    """Type of the environment that the run acted on."""
    identity: str
    """Names that environment; two runs in one exclude each other."""
    host: str
    """Machine of the runner."""
    versions: dict[str, str]
    """Of offbus, Python, the platform, and each package that brought a plug-in in use."""
    started: Instant
    """When the run began."""
    ended: Instant | None
    """When it ended; null: the journal ends before."""
    duration_s: float
    """Seconds from its first event to its last."""
    clock: str
    """The runner's monotonic clock: the boot id."""
    steps: list[StepReport]
    """All steps, in plan order."""
    expectations: list[ExpectationReport]
    """Those of the whole scenario."""
    faults: list[FaultReport]
    """All faults, in the order of their declaration."""
    metrics: dict[str, MetricReport]
    """The newest measurement of each name."""
    undos: list[UndoReport]
    """All undos, in the order of their records."""
    residue: list[ResidueReport]
    """What is not as it was before the run; empty where all was undone."""
    timeline: list[TimelineEntry]
    """What happened, in the order in which the runner learnt of it."""

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """Short: asyncio shows a task with its result when it ends, and a whole report takes 40 µs a step to show."""
        return (("run", self.run), ("verdict", self.verdict), ("exit", self.exit))


def report_schema() -> Schema:
    """The JSON Schema of report.json."""
    models = [one for one in globals().values() if isinstance(one, type) and one.__module__ == __name__]
    return published("report", 1, described(Report.model_json_schema(), models))
