"""How each kind of event changes the state of the fold. Pure; one function a kind, in the table `APPLY`.

Events come from a reader that has checked them against their schema; `Fold.apply` skips those about steps or
undos that it does not know.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from offbus.declared import Lane, Metric
from offbus.journal.events import Event, EventKind
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
    TimelineEntry,
    UndoReport,
    UndoTry,
)
from offbus.report.state import RunState, Stop

__all__ = ["APPLY", "instant_of"]


UNDECLARED = Metric("double")


def instant_of(event: Event) -> Instant:
    """When an event was journaled."""
    return Instant(seq=event["seq"], t=event["t"], mono_ns=event["mono_ns"])


def _mapped(data: Mapping[str, Any]) -> MappedTime | None:
    return MappedTime(**data["at"]) if "at" in data else None


def _entry(state: RunState, event: Event, lane: str, subject: str, what: str, **more: Any) -> None:
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


def _run_started(state: RunState, _event: Event, data: dict[str, Any]) -> None:
    for step in data["steps"]:
        state.steps[step["id"]] = StepReport(
            outcome="pending", **{key: step[key] for key in ("id", "uses", "kind", "background", "always")}
        )
        if step["injects"]:
            state.injecting.add(step["id"])
    state.lanes = [Lane(**one) for one in data.get("lanes", ())]
    for name, one in data.get("metrics", {}).items():
        with suppress(ValueError):  # a declaration made by hand: the metric is shown without it
            state.declared[name] = Metric(**one)


def _adopted(state: RunState, event: Event, data: dict[str, Any]) -> None:
    state.epoch = data["epoch"]
    state.ended = state.after = None
    state.residue.clear()  # it is looked for again
    _entry(state, event, "run", data["host"], f"taken over by {data['by']}")


def _environment_opened(state: RunState, event: Event, data: dict[str, Any]) -> None:
    if state.environment is None:
        _entry(state, event, "run", data["environment"], "environment opened")
    state.environment, state.opened = data["state"], data["environment"]


def _fingerprint(state: RunState, _event: Event, data: dict[str, Any]) -> None:
    if data["when"] == "before":
        state.fingerprint = data["items"]
    else:
        state.after = data["items"]


def _phase(state: RunState, event: Event, data: dict[str, Any]) -> None:
    _entry(state, event, "run", "phase", data["name"])


def _step_started(state: RunState, event: Event, data: dict[str, Any]) -> None:
    step = state.steps[event["step"]]
    step.attempts = data["attempt"]
    step.outcome = "running"
    if step.started is None:
        step.started = instant_of(event)
    _entry(state, event, "step", step.id, "started", was=None)


def _step_ready(state: RunState, event: Event, _data: dict[str, Any]) -> None:
    _entry(state, event, "step", event["step"], "ready")


def _attempt_ended(state: RunState, event: Event, data: dict[str, Any]) -> None:
    what = f"attempt {data['attempt']} {data['outcome']}"
    _entry(state, event, "step", event["step"], what, evidence={"message": data["message"]})


def _step_ended(state: RunState, event: Event, data: dict[str, Any]) -> None:
    step = state.steps[event["step"]]
    step.outcome = data["outcome"]
    step.because, step.message, step.hint = data.get("because"), data.get("message"), data.get("hint")
    step.outputs, step.evidence = data.get("outputs"), data.get("evidence", {})
    step.ended = instant_of(event)
    begun = step.started
    step.duration_s = max(0, event["mono_ns"] - begun.mono_ns) / 1e9 if begun is not None else None
    if data.get("bug"):
        state.stops.append(Stop("bug", f"step {step.id}: {data.get('message', '')}"))
    _entry(state, event, "step", step.id, data["outcome"])


def _undo_recorded(state: RunState, event: Event, data: dict[str, Any]) -> None:
    state.records[data["undo"]] = event
    state.undos[data["undo"]] = UndoReport(
        step=event.get("step"),
        result="pending",
        recorded=instant_of(event),
        **{key: data[key] for key in ("undo", "type", "phase", "describe")},
    )


def _undo_started(state: RunState, event: Event, data: dict[str, Any]) -> None:
    undo = state.undos[data["undo"]]
    undo.tries.append(UndoTry(by=data["by"], result="interrupted", started=instant_of(event)))
    step = state.steps.get(undo.step or "")
    early = data["by"] == "stop" and step is not None and step.outcome == "running"
    (state.early.add if early else state.early.discard)(data["undo"])


def _undo_ended(state: RunState, event: Event, data: dict[str, Any]) -> None:
    """What was undone before its step had ended is still to be undone: a request may have been under way."""
    undo = state.undos[data["undo"]]
    undo.result = "pending" if data["undo"] in state.early else data["result"]
    if undo.tries:
        last = undo.tries[-1]
        last.result, last.detail, last.evidence = data["result"], data["detail"], data["evidence"]
        last.ended = instant_of(event)
    _entry(state, event, "undo", undo.describe, data["result"], evidence={"detail": data["detail"]})


def _observed(state: RunState, event: Event, data: dict[str, Any]) -> None:
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


def _metric(state: RunState, event: Event, data: dict[str, Any]) -> None:
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


def _fault_declared(state: RunState, event: Event, data: dict[str, Any]) -> None:
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


def _fault_proven(state: RunState, event: Event, data: dict[str, Any]) -> None:
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


def _needs_attention(state: RunState, event: Event, data: dict[str, Any]) -> None:
    if data["reason"] not in state.needs_attention:
        state.needs_attention.append(data["reason"])
    _entry(state, event, "attention", "a human must act", data["reason"])


def _watched(state: RunState, event: Event, data: dict[str, Any]) -> None:
    undo = state.undos.get(data["undo"])
    what = undo.describe if undo is not None else f"undo {data['undo']}"
    fields = {key: value for key, value in data.items() if key != "undo"}
    state.settling[data["undo"]] = SettlingReport(what=what, **fields)
    told = f"{data['result'].replace('_', ' ')} for {data['watched_s']:g} s of {data['limit_s']:g} s"
    _entry(state, event, "settle", what, f"{told}: {data['detail']}" if data["detail"] else told)


def _expectation(state: RunState, event: Event, data: dict[str, Any]) -> None:
    step = state.steps.get(event.get("step", ""))
    (step.expectations if step else state.expectations).append(ExpectationReport(**data))


def _stopped(state: RunState, event: Event, data: dict[str, Any]) -> None:
    state.stops.append(Stop(data["cause"], data["reason"]))
    _entry(state, event, "run", data["cause"], data["reason"])


def _residue(state: RunState, event: Event, data: dict[str, Any]) -> None:
    state.residue.append(ResidueReport(**data))
    _entry(state, event, "residue", data["item"], data["detail"])


def _run_ended(state: RunState, event: Event, _data: dict[str, Any]) -> None:
    state.ended = event


APPLY: dict[str, Callable[[RunState, Event, dict[str, Any]], None]] = {
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
    EventKind.NEEDS_ATTENTION: _needs_attention,
    EventKind.WATCHED: _watched,
    EventKind.EXPECTATION: _expectation,
    EventKind.STOPPED: _stopped,
    EventKind.RESIDUE: _residue,
    EventKind.RUN_ENDED: _run_ended,
}
