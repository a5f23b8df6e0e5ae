"""How a run's parts write to its journal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

from offbus.declared import StatementTone

__all__ = ["Moment", "Recorded", "Recorder"]


class Recorder(Protocol):
    """Writes to the journal of the run. All methods are synchronous, cheap, and return the event's `seq`."""

    @property
    def run_id(self) -> str:
        """The run's id; it marks kernel lines, labels and annotations."""

    @property
    def epoch(self) -> int:
        """How many owners the run has had; agents refuse lower ones. 1 for the run itself, +1 per `recover`."""

    def observed(
        self,
        *,
        lane: str,
        subject: str,
        to: str,
        was: str | None = None,
        evidence: Mapping[str, Any] | None = None,
        at: "Moment | None" = None,
        tone: StatementTone | None = None,
        brief: str = "",
    ) -> "Recorded":
        """Something in the world changed. What the environment says of its lanes: `EnvironmentType.lanes`.

        `brief` is the evidence in one line, what people look for. In lane "fault" a subject is the id of a fault.
        """

    def metric(
        self, name: str, value: float | timedelta, unit: str = "", *, derived_from: Sequence[int] = ()
    ) -> None:
        """A measurement, in the unit that its step type declares unless told; a timedelta is journaled in seconds."""

    def fault_declared(self, *, fault: str, subject: str, planes: Mapping[str, str]) -> "Recorded":
        """A fault is about to be injected; the run's verdict needs a `fault_proven` for each plane.

        `planes` maps each plane to what is missing when it has no proof ("no faulted CUDA call by a process of
        the target was seen"): the engine does not know what planes are.
        """

    def fault_proven(
        self,
        *,
        fault: str,
        plane: str,
        evidence: Mapping[str, Any],
        at: "Moment | None" = None,
        brief: str = "",
    ) -> "Recorded":
        """Proof, on the target, that the fault shows on that plane. Repeats are allowed; the first counts.

        `brief` is the evidence in one line.
        """

    def needs_attention(self, reason: str) -> "Recorded":
        """A human must act. The report tells it beside its verdict, which it does not change; a repeat counts once."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A time read on another clock, mapped to the runner's monotonic clock with its error bound, both in ns."""

    mono_ns: int
    error_ns: int
    clock: str
    """Whose clock it was: a boot id."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """Where and when something was journaled."""

    seq: int
    mono_ns: int
    """CLOCK_BOOTTIME-like monotonic nanoseconds of the runner (see offbus.journal.writer)."""
