"""Writes what steps, undos and environments report into the journal."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from math import isfinite
from typing import Any

from offbus.declared import StatementTone
from offbus.environment import Leftover
from offbus.journal.events import Event
from offbus.journal.kinds import (
    ENVIRONMENT_OPENED,
    FAULT_DECLARED,
    FAULT_PROVEN,
    METRIC,
    NEEDS_ATTENTION,
    OBSERVED,
    RESIDUE,
    Draft,
)
from offbus.journal.recovery_events import PersistedEvents
from offbus.journal.schemas import FaultProven, Mapped, Observed
from offbus.journal.writer import JournalWriter
from offbus.masking import Masking
from offbus.recorder import Moment, Recorded

__all__ = ["JournalRecorder", "MetricValues", "RunRecorder"]

MetricValues = dict[str, float | timedelta]
"""Metrics as they were given, for expressions: a duration stays a duration."""


class JournalRecorder:
    """The recorder of one step (or of the run, where `step` is None). See offbus.step.Recorder."""

    def __init__(
        self, journal: JournalWriter, epoch: int, metrics: MetricValues, step: str | None = None
    ) -> None:
        self._journal = journal
        self._epoch = epoch
        self._metrics = metrics
        self._step = step

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self._journal.run

    @property
    def epoch(self) -> int:
        """How many owners the run has had."""
        return self._epoch

    def for_step(self, step: str | None) -> "JournalRecorder":
        """The same, for another step."""
        return JournalRecorder(self._journal, self._epoch, self._metrics, step)

    def observed(
        self,
        *,
        lane: str,
        subject: str,
        to: str,
        was: str | None = None,
        evidence: Mapping[str, Any] | None = None,
        at: Moment | None = None,
        tone: StatementTone | None = None,
        brief: str = "",
    ) -> Recorded:
        """See Recorder."""
        data: Observed = {"lane": lane, "subject": subject, "to": to}
        if was is not None:
            data["was"] = was
        if evidence:
            data["evidence"] = dict(evidence)
        if tone is not None:
            data["tone"] = tone
        if brief:
            data["brief"] = brief
        if at is not None:
            data["at"] = _mapped(at)
        return self._record(OBSERVED(data))

    def metric(
        self, name: str, value: float | timedelta, unit: str = "", *, derived_from: Sequence[int] = ()
    ) -> None:
        """See Recorder."""
        if isinstance(value, timedelta):
            plain, unit = value.total_seconds(), "s"
        else:
            plain = float(value)
        if not isfinite(plain):
            raise ValueError(f"metric {name} is {plain}, which is no measurement")
        self._metrics[name] = value
        self._record(METRIC({"name": name, "value": plain, "unit": unit, "from": list(derived_from)}))

    def fault_declared(self, *, fault: str, subject: str, planes: Mapping[str, str]) -> Recorded:
        """See Recorder."""
        return self._record(FAULT_DECLARED({"fault": fault, "subject": subject, "planes": dict(planes)}))

    def fault_proven(
        self,
        *,
        fault: str,
        plane: str,
        evidence: Mapping[str, Any],
        at: Moment | None = None,
        brief: str = "",
    ) -> Recorded:
        """See Recorder."""
        data: FaultProven = {"fault": fault, "plane": plane, "evidence": dict(evidence)}
        if brief:
            data["brief"] = brief
        if at is not None:
            data["at"] = _mapped(at)
        return self._record(FAULT_PROVEN(data))

    def needs_attention(self, reason: str) -> Recorded:
        """See Recorder."""
        return self._record(NEEDS_ATTENTION({"reason": reason}))

    def _record(self, draft: Draft) -> Recorded:
        event = self._journal.append(draft, step=self._step)
        return Recorded(seq=event["seq"], mono_ns=event["mono_ns"])


def _mapped(at: Moment) -> Mapped:
    return {"mono_ns": at.mono_ns, "error_ns": at.error_ns, "clock": at.clock}


class RunRecorder(JournalRecorder):
    """The environment's handle on the run. See offbus.environment.RunHandle."""

    def __init__(
        self,
        journal: JournalWriter,
        epoch: int,
        metrics: MetricValues,
        *,
        environment: str,
        abort: Callable[[str], None],
        progress: Callable[[str | None, str], None],
        persisted: PersistedEvents | None = None,
        confirmed: bool = False,
    ) -> None:
        super().__init__(journal, epoch, metrics)
        self._confirmed = confirmed
        self._persisted = persisted or PersistedEvents()
        self._environment = environment
        self._abort = abort
        self._progress = progress
        self._begun = False
        self.leftovers: list[Leftover] = []
        """What may be left of an environment that did not open."""

    @property
    def confirmed(self) -> bool:
        """See RunHandle."""
        return self._confirmed

    @property
    def masking(self) -> Masking:
        """See RunHandle."""
        return self._journal.masking

    def opened(self, state: Mapping[str, Any]) -> None:
        """See RunHandle."""
        opened = ENVIRONMENT_OPENED({"environment": self._environment, "state": dict(state)})
        self._journal.append(opened, durable=True)
        self._begun = True

    def unopened(self, leftovers: Iterable[Leftover] = ()) -> None:
        """See RunHandle."""
        self._begun = False
        for one in leftovers:
            self.leftovers.append(one)
            self._journal.append(RESIDUE({"item": one.item, "detail": one.detail, "fix": one.fix}))

    def did_not_open(self) -> None:
        """Residue for an environment that failed to open and did not say what is left of it."""
        if self._begun:
            detail = "it did not open, and did not say whether anything of it is left"
            self.unopened([Leftover("environment", detail, f"offbus recover {self.run_id}")])

    def persisted(self) -> Sequence[Event]:
        """See RunHandle."""
        return tuple(self._persisted.events)

    def abort(self, reason: str) -> None:
        """See RunHandle."""
        self._abort(reason)

    def progress(self, text: str) -> None:
        """See RunHandle."""
        self._progress(None, self._journal.masking.text(text))
