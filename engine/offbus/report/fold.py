"""The fold: a journal's events to a report. Pure; any prefix of a journal folds to a valid report of an aborted run.

The runner folds as it goes and decides its verdict from the same state, so the report can never say anything that
the journal does not. Events that a damaged journal lacks show as gaps in `seq`: what they may have held is a reason of
the verdict (offbus.report.damage), never a crash.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from offbus.journal.events import Event, EventKind
from offbus.report.damage import Gaps
from offbus.report.figures import since
from offbus.report.model import (
    ExpectationReport,
    FaultReport,
    Instant,
    MappedTime,
    MetricReport,
    Proof,
    Report,
    ResidueReport,
    StepReport,
    TimelineEntry,
    UndoReport,
    UndoTry,
)
from offbus.report.verdict import Stop, Verdict, judge

__all__ = ["Fold", "fold"]

SETTLED = ("restored", "nothing")
"""Results after which an undo needs no further try."""


class Fold:
    """The state of a run after some of its events."""

    def __init__(self) -> None:
        self.first: Event | None = None
        self.last: Event | None = None
        self.steps: dict[str, StepReport] = {}
        self.injecting: set[str] = set()
        self.expectations: list[ExpectationReport] = []
        self.faults: dict[str, FaultReport] = {}
        self.metrics: dict[str, MetricReport] = {}
        self.undos: dict[int, UndoReport] = {}
        self.records: dict[int, Event] = {}
        self.residue: list[ResidueReport] = []
        self.timeline: list[TimelineEntry] = []
        self.stops: list[Stop] = []
        self.environment: dict[str, Any] | None = None
        self.opened: str | None = None
        self.fingerprint: dict[str, Any] | None = None
        self.after: dict[str, Any] | None = None
        self.gaps = Gaps()
        self.epoch = 1
        self.ended: Event | None = None

    def apply(self, event: Event) -> None:
        """Take the next event in. One that speaks of a step or an undo that a damaged line named is passed over."""
        if self.first is None:
            self.first = event
        self.last = event
        self.gaps.look(event)
        if self._known(event):
            _APPLY[EventKind(event["kind"])](self, event, event["data"])

    def _known(self, event: Event) -> bool:
        kind = event["kind"]
        if kind in _OF_STEPS:
            return event.get("step", "") in self.steps
        return kind not in _OF_UNDOS or event["data"]["undo"] in self.undos

    @property
    def head(self) -> dict[str, Any]:
        """What run_started says; what is known without it when that line is damaged."""
        if self.first is not None and self.first["kind"] == EventKind.RUN_STARTED:
            return self.first["data"]
        return _NO_HEAD | ({"environment": self.opened} if self.opened else {})

    def verdict(self, *, finishing: bool = False) -> Verdict:
        """What all of it says now; `finishing` when only run_ended is missing."""
        return judge(self, finishing=finishing)

    @property
    def as_before(self) -> bool:
        """Whether the place was read back in the end and is as it was: then nothing was left, whatever is unknown."""
        return self.fingerprint is not None and self.fingerprint == self.after

    def pending_undos(self) -> list[UndoReport]:
        """Undos that are recorded and not settled, in the order of their records."""
        return [undo for undo in self.undos.values() if undo.result not in SETTLED]

    def report(self) -> Report:
        """The report. Raises ValueError when there is no event."""
        if self.first is None or self.last is None:
            raise ValueError("the journal does not begin with run_started: it is empty")
        head = self.head
        verdict = self.verdict()
        end = self.ended or self.last
        return Report(
            run=self.first["run"],
            verdict=verdict.verdict,
            vacuous=verdict.vacuous,
            reasons=list(verdict.reasons),
            exit=verdict.exit,
            complete=self.ended is not None,
            **{key: head[key] for key in _HEAD},
            started=_instant(self.first),
            ended=_instant(self.ended) if self.ended else None,
            duration_s=max(0.0, since(self.first, end)),
            clock=self.first["clock"],
            steps=list(self.steps.values()),
            expectations=self.expectations,
            faults=list(self.faults.values()),
            metrics=self.metrics,
            undos=list(self.undos.values()),
            residue=self.residue,
            timeline=self.timeline,
        )


def fold(events: Iterable[Event]) -> Report:
    """The report of a journal, or of any prefix of one."""
    state = Fold()
    for event in events:
        state.apply(event)
    return state.report()


_OF_STEPS = (EventKind.STEP_STARTED, EventKind.STEP_ENDED)
_OF_UNDOS = (EventKind.UNDO_STARTED, EventKind.UNDO_ENDED)
_HEAD = ("name", "summary", "scenario", "digest", "environment", "identity", "host", "versions")


_NO_HEAD: dict[str, Any] = dict.fromkeys(_HEAD, "unknown") | {"versions": {}, "undo_timeout_s": 300.0}
"""Stands for a run_started that is damaged."""


def _instant(event: Event) -> Instant:
    return Instant(seq=event["seq"], t=event["t"], mono_ns=event["mono_ns"])


def _seconds(start: Event | Instant, end: Event) -> float:
    begin = start.mono_ns if isinstance(start, Instant) else start["mono_ns"]
    return max(0, end["mono_ns"] - begin) / 1e9


def _mapped(data: Mapping[str, Any]) -> MappedTime | None:
    return MappedTime(**data["at"]) if "at" in data else None


def _entry(state: Fold, event: Event, lane: str, subject: str, what: str, **more: Any) -> None:
    more.setdefault("step", event.get("step"))
    state.timeline.append(
        TimelineEntry(
            seq=event["seq"],
            t=event["t"],
            mono_ns=event["mono_ns"],
            lane=lane,
            subject=subject,
            what=what,
            **more,
        )
    )


def _run_started(state: Fold, _event: Event, data: dict[str, Any]) -> None:
    for step in data["steps"]:
        state.steps[step["id"]] = StepReport(
            outcome="pending", **{key: step[key] for key in ("id", "uses", "kind", "background", "always")}
        )
        if step["injects"]:
            state.injecting.add(step["id"])


def _adopted(state: Fold, event: Event, data: dict[str, Any]) -> None:
    state.epoch = data["epoch"]
    state.ended = state.after = None
    state.residue.clear()  # it is looked for again
    _entry(state, event, "run", data["host"], f"taken over by {data['by']}")


def _environment_opened(state: Fold, event: Event, data: dict[str, Any]) -> None:
    if state.environment is None:
        _entry(state, event, "run", data["environment"], "environment opened")
    state.environment, state.opened = data["state"], data["environment"]


def _fingerprint(state: Fold, _event: Event, data: dict[str, Any]) -> None:
    if data["when"] == "before":
        state.fingerprint = data["items"]
    else:
        state.after = data["items"]


def _phase(state: Fold, event: Event, data: dict[str, Any]) -> None:
    _entry(state, event, "run", "phase", data["name"])


def _step_started(state: Fold, event: Event, data: dict[str, Any]) -> None:
    step = state.steps[event["step"]]
    step.attempts = data["attempt"]
    step.outcome = "running"
    if step.started is None:
        step.started = _instant(event)
    _entry(state, event, "step", step.id, "started", was=None)


def _step_ready(state: Fold, event: Event, _data: dict[str, Any]) -> None:
    _entry(state, event, "step", event["step"], "ready")


def _attempt_ended(state: Fold, event: Event, data: dict[str, Any]) -> None:
    what = f"attempt {data['attempt']} {data['outcome']}"
    _entry(state, event, "step", event["step"], what, evidence={"message": data["message"]})


def _step_ended(state: Fold, event: Event, data: dict[str, Any]) -> None:
    step = state.steps[event["step"]]
    step.outcome = data["outcome"]
    step.because, step.message, step.hint = data.get("because"), data.get("message"), data.get("hint")
    step.outputs, step.evidence = data.get("outputs"), data.get("evidence", {})
    step.ended = _instant(event)
    step.duration_s = _seconds(step.started, event) if step.started else None
    if data.get("bug"):
        state.stops.append(Stop("bug", f"step {step.id}: {data.get('message', '')}"))
    _entry(state, event, "step", step.id, data["outcome"])


def _undo_recorded(state: Fold, event: Event, data: dict[str, Any]) -> None:
    state.records[data["undo"]] = event
    state.undos[data["undo"]] = UndoReport(
        step=event.get("step"),
        result="pending",
        recorded=_instant(event),
        **{key: data[key] for key in ("undo", "type", "phase", "describe")},
    )


def _undo_started(state: Fold, event: Event, data: dict[str, Any]) -> None:
    state.undos[data["undo"]].tries.append(
        UndoTry(by=data["by"], result="interrupted", started=_instant(event))
    )


def _undo_ended(state: Fold, event: Event, data: dict[str, Any]) -> None:
    undo = state.undos[data["undo"]]
    undo.result = data["result"]
    if undo.tries:
        last = undo.tries[-1]
        last.result, last.detail, last.evidence = data["result"], data["detail"], data["evidence"]
        last.ended = _instant(event)
    _entry(state, event, "undo", undo.describe, data["result"], evidence={"detail": data["detail"]})


def _observed(state: Fold, event: Event, data: dict[str, Any]) -> None:
    _entry(
        state,
        event,
        data["lane"],
        data["subject"],
        data["to"],
        was=data.get("was"),
        happened=_mapped(data),
        evidence=data.get("evidence", {}),
    )


def _metric(state: Fold, event: Event, data: dict[str, Any]) -> None:
    state.metrics[data["name"]] = MetricReport(
        value=data["value"], unit=data["unit"], derived_from=data["from"], step=event.get("step")
    )


def _fault_declared(state: Fold, event: Event, data: dict[str, Any]) -> None:
    state.faults[data["fault"]] = FaultReport(
        id=data["fault"],
        subject=data["subject"],
        step=event.get("step"),
        declared=_instant(event),
        planes=dict.fromkeys(data["planes"]),
        missing=dict(data["planes"]),
        proven=not data["planes"],
    )
    _entry(state, event, "fault", data["subject"], "declared", evidence={"fault": data["fault"]})


def _fault_proven(state: Fold, event: Event, data: dict[str, Any]) -> None:
    fault = state.faults.get(data["fault"])
    if fault is None:
        return
    if fault.planes.get(data["plane"]) is None and data["plane"] in fault.planes:
        fault.planes[data["plane"]] = Proof(
            at=_instant(event), happened=_mapped(data), evidence=data["evidence"]
        )
        fault.missing.pop(data["plane"], None)
        fault.proven = not fault.missing
    _entry(
        state,
        event,
        "fault",
        fault.subject,
        f"shows on {data['plane']}",
        happened=_mapped(data),
        evidence=data["evidence"],
    )


def _expectation(state: Fold, event: Event, data: dict[str, Any]) -> None:
    step = state.steps.get(event.get("step", ""))
    (step.expectations if step else state.expectations).append(ExpectationReport(**data))


def _stopped(state: Fold, event: Event, data: dict[str, Any]) -> None:
    state.stops.append(Stop(data["cause"], data["reason"]))
    _entry(state, event, "run", data["cause"], data["reason"])


def _residue(state: Fold, event: Event, data: dict[str, Any]) -> None:
    state.residue.append(ResidueReport(**data))
    _entry(state, event, "residue", data["item"], data["detail"])


def _run_ended(state: Fold, event: Event, _data: dict[str, Any]) -> None:
    state.ended = event


_APPLY: dict[EventKind, Callable[[Fold, Event, dict[str, Any]], None]] = {
    EventKind.RUN_STARTED: _run_started,
    EventKind.ADOPTED: _adopted,
    EventKind.ENVIRONMENT_OPENED: _environment_opened,
    EventKind.FINGERPRINT: _fingerprint,
    EventKind.PHASE: _phase,
    EventKind.STEP_STARTED: _step_started,
    EventKind.STEP_READY: _step_ready,
    EventKind.ATTEMPT_ENDED: _attempt_ended,
    EventKind.STEP_ENDED: _step_ended,
    EventKind.UNDO_RECORDED: _undo_recorded,
    EventKind.UNDO_STARTED: _undo_started,
    EventKind.UNDO_ENDED: _undo_ended,
    EventKind.OBSERVED: _observed,
    EventKind.METRIC: _metric,
    EventKind.FAULT_DECLARED: _fault_declared,
    EventKind.FAULT_PROVEN: _fault_proven,
    EventKind.EXPECTATION: _expectation,
    EventKind.STOPPED: _stopped,
    EventKind.RESIDUE: _residue,
    EventKind.RUN_ENDED: _run_ended,
}
