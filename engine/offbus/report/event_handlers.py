"""How each kind of event changes the state of the fold. Pure; one function a kind, which `APPLY` finds.

Events come from a reader that has checked them against their schema; `Fold.apply` skips those about steps or
undos that it does not know.
"""

from contextlib import suppress
from typing import Any

from offbus.declared import Lane, Metric, StatementTone
from offbus.journal import kinds, schemas
from offbus.journal.events import Event
from offbus.journal.start_schemas import RunStarted
from offbus.report.model import (
    ExpectationReport,
    FaultReport,
    Instant,
    MappedTime,
    MetricReport,
    Proof,
    ResidueReport,
    SettlingReport,
    StepReport,
    StopReport,
    Takeover,
    TimelineEntry,
    UndoReport,
    UndoTry,
)
from offbus.report.state import RunState

__all__ = ["APPLY", "instant_of"]


UNDECLARED = Metric("double")
APPLY = kinds.Handlers[RunState, None]()
"""Changes the state by one event."""


def instant_of(event: Event) -> Instant:
    """When an event was journaled."""
    return Instant(seq=event["seq"], t=event["t"], mono_ns=event["mono_ns"])


def _mapped(data: schemas.Observed | schemas.FaultProven) -> MappedTime | None:
    return MappedTime(**data["at"]) if "at" in data else None


def _entry(
    state: RunState,
    event: Event,
    lane: str,
    subject: str,
    what: str,
    *,
    was: str | None = None,
    happened: MappedTime | None = None,
    evidence: dict[str, Any] | None = None,
    tone: StatementTone | None = None,
    brief: str = "",
) -> None:
    state.timeline.append(
        TimelineEntry(
            seq=event["seq"],
            t=event["t"],
            mono_ns=event["mono_ns"],
            lane=lane,
            subject=subject,
            what=what,
            was=was,
            step=event.get("step"),
            happened=happened,
            evidence=evidence or {},
            tone=tone,
            brief=brief,
        )
    )


@APPLY.of(kinds.RUN_STARTED)
def _run_started(state: RunState, _event: Event, data: RunStarted) -> None:
    for step in data["steps"]:
        state.steps[step["id"]] = StepReport(
            id=step["id"],
            uses=step["uses"],
            kind=step["kind"],
            background=step["background"],
            always=step["always"],
            outcome="pending",
        )
        if step["injects"]:
            state.injecting.add(step["id"])
    state.lanes = [Lane(**one) for one in data.get("lanes", ())]
    for name, one in data.get("metrics", {}).items():
        with suppress(ValueError):  # a declaration made by hand: the metric is shown without it
            state.declared[name] = Metric(**one)


@APPLY.of(kinds.ADOPTED)
def _adopted(state: RunState, event: Event, data: schemas.Adopted) -> None:
    state.epoch = data["epoch"]
    state.ended = state.after = None
    state.residue.clear()  # it is looked for again
    state.takeovers.append(Takeover(by=data["by"], host=data["host"], at=instant_of(event)))
    _entry(state, event, "run", data["host"], f"taken over by {data['by']}")


@APPLY.of(kinds.ENVIRONMENT_OPENED)
def _environment_opened(state: RunState, event: Event, data: schemas.EnvironmentOpened) -> None:
    if state.environment is None:
        _entry(state, event, "run", data["environment"], "environment opened")
    state.environment, state.opened = data["state"], data["environment"]


@APPLY.of(kinds.FINGERPRINT)
def _fingerprint(state: RunState, _event: Event, data: schemas.Fingerprint) -> None:
    if data["when"] == "before":
        state.fingerprint = data["items"]
    else:
        state.after = data["items"]


@APPLY.of(kinds.PHASE)
def _phase(state: RunState, event: Event, data: schemas.Phase) -> None:
    _entry(state, event, "run", "phase", data["name"])


@APPLY.of(kinds.STEP_STARTED)
def _step_started(state: RunState, event: Event, data: schemas.StepStarted) -> None:
    step = state.steps[event["step"]]
    step.attempts = data["attempt"]
    step.outcome = "running"
    step.expectations.clear()  # those of an earlier attempt are in the message that it ended with
    if step.started is None:
        step.started = instant_of(event)
    _entry(state, event, "step", step.id, "started")


@APPLY.of(kinds.STEP_READY)
def _step_ready(state: RunState, event: Event, _data: schemas.StepReady) -> None:
    _entry(state, event, "step", event["step"], "ready")


@APPLY.of(kinds.ATTEMPT_ENDED)
def _attempt_ended(state: RunState, event: Event, data: schemas.AttemptEnded) -> None:
    what = f"attempt {data['attempt']} {data['outcome']}"
    _entry(state, event, "step", event["step"], what, evidence={"message": data["message"]})


@APPLY.of(kinds.STEP_ENDED)
def _step_ended(state: RunState, event: Event, data: schemas.StepEnded) -> None:
    step = state.steps[event["step"]]
    step.outcome = data["outcome"]
    step.because, step.message, step.hint = data.get("because"), data.get("message"), data.get("hint")
    step.outputs, step.evidence = data.get("outputs"), data.get("evidence", {})
    step.ended = instant_of(event)
    begun = step.started
    step.duration_s = max(0, event["mono_ns"] - begun.mono_ns) / 1e9 if begun is not None else None
    bug: bool = data.get("bug", False)
    if bug:
        why = f"step {step.id}: {step.message or ''}"
        state.stops.append(StopReport(cause="bug", reason=why, at=instant_of(event)))
    _entry(state, event, "step", step.id, data["outcome"])


@APPLY.of(kinds.UNDO_RECORDED)
def _undo_recorded(state: RunState, event: Event, data: schemas.UndoRecorded) -> None:
    """One that is recorded again was amended by what its effect told: it was recorded when it was recorded first."""
    earlier = state.undos.get(data["undo"])
    state.undos[data["undo"]] = UndoReport(
        undo=data["undo"],
        step=event.get("step"),
        type=data["type"],
        phase=data["phase"],
        describe=data["describe"],
        result="pending",
        recorded=instant_of(event) if earlier is None else earlier.recorded,
    )


@APPLY.of(kinds.UNDO_STARTED)
def _undo_started(state: RunState, event: Event, data: schemas.UndoStarted) -> None:
    undo = state.undos[data["undo"]]
    undo.tries.append(UndoTry(by=data["by"], result="interrupted", started=instant_of(event)))
    step = state.steps.get(undo.step or "")
    early = data["by"] == "stop" and step is not None and step.outcome == "running"
    (state.early.add if early else state.early.discard)(data["undo"])


@APPLY.of(kinds.UNDO_ENDED)
def _undo_ended(state: RunState, event: Event, data: schemas.UndoEnded) -> None:
    """What was undone before its step had ended is still to be undone: a request may have been under way."""
    undo = state.undos[data["undo"]]
    undo.result = "pending" if data["undo"] in state.early else data["result"]
    if undo.tries:
        last = undo.tries[-1]
        last.result, last.detail, last.evidence = data["result"], data["detail"], data["evidence"]
        last.ended = instant_of(event)
    _entry(state, event, "undo", undo.describe, data["result"], evidence={"detail": data["detail"]})


@APPLY.of(kinds.OBSERVED)
def _observed(state: RunState, event: Event, data: schemas.Observed) -> None:
    _entry(
        state,
        event,
        data["lane"],
        data["subject"],
        data["to"],
        was=data.get("was"),
        happened=_mapped(data),
        evidence=data.get("evidence", {}),
        tone=data.get("tone"),
        brief=data.get("brief", ""),
    )


@APPLY.of(kinds.METRIC)
def _metric(state: RunState, event: Event, data: schemas.Metric) -> None:
    known = state.declared.get(data["name"])
    declared = known or UNDECLARED
    state.metrics[data["name"]] = MetricReport(
        value=data["value"],
        unit=data["unit"] or (known.unit if known else ""),
        derived_from=data["from"],
        step=event.get("step"),
        meaning=declared.meaning,
        share=declared.share,
        group=declared.group,
        label=declared.label,
    )


@APPLY.of(kinds.FAULT_DECLARED)
def _fault_declared(state: RunState, event: Event, data: schemas.FaultDeclared) -> None:
    state.faults[data["fault"]] = FaultReport(
        id=data["fault"],
        subject=data["subject"],
        step=event.get("step"),
        declared=instant_of(event),
        planes=dict.fromkeys(data["planes"]),
        missing=dict(data["planes"]),
        proven=not data["planes"],
    )
    _entry(state, event, "fault", data["subject"], "declared", evidence={"fault": data["fault"]})


@APPLY.of(kinds.FAULT_PROVEN)
def _fault_proven(state: RunState, event: Event, data: schemas.FaultProven) -> None:
    fault = state.faults.get(data["fault"])
    if fault is None:
        return
    if fault.planes.get(data["plane"]) is None and data["plane"] in fault.planes:
        fault.planes[data["plane"]] = Proof(
            at=instant_of(event),
            happened=_mapped(data),
            evidence=data["evidence"],
            brief=data.get("brief", ""),
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
        brief=data.get("brief", ""),
    )


@APPLY.of(kinds.NEEDS_ATTENTION)
def _needs_attention(state: RunState, event: Event, data: schemas.NeedsAttention) -> None:
    state.needs_attention[data["reason"]] = None
    _entry(state, event, "attention", "a human must act", data["reason"])


@APPLY.of(kinds.WATCHED)
def _watched(state: RunState, event: Event, data: schemas.Watched) -> None:
    undo = state.undos.get(data["undo"])
    what = undo.describe if undo is not None else f"undo {data['undo']}"
    state.settling[data["undo"]] = SettlingReport(
        what=what,
        limit_s=data["limit_s"],
        watched_s=data["watched_s"],
        result=data["result"],
        detail=data["detail"],
    )
    told = f"{data['result'].replace('_', ' ')} for {data['watched_s']:g} s of {data['limit_s']:g} s"
    _entry(state, event, "settle", what, f"{told}: {data['detail']}" if data["detail"] else told)


@APPLY.of(kinds.EXPECTATION)
def _expectation(state: RunState, event: Event, data: schemas.Expectation) -> None:
    step = state.steps.get(event.get("step", ""))
    (step.expectations if step else state.expectations).append(ExpectationReport(**data))


@APPLY.of(kinds.STOPPED)
def _stopped(state: RunState, event: Event, data: schemas.Stopped) -> None:
    state.stops.append(StopReport(cause=data["cause"], reason=data["reason"], at=instant_of(event)))
    _entry(state, event, "run", data["cause"], data["reason"])


@APPLY.of(kinds.RESIDUE)
def _residue(state: RunState, event: Event, data: schemas.Residue) -> None:
    state.residue.append(ResidueReport(**data))
    _entry(state, event, "residue", data["item"], data["detail"])


@APPLY.of(kinds.RUN_ENDED)
def _run_ended(state: RunState, event: Event, _data: schemas.RunEnded) -> None:
    state.ended = event
