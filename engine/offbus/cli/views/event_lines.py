"""The journal's events as lines for people and CI logs: one event, one line, and only what matters. Pure."""

from collections.abc import Callable, Mapping
from typing import Any

from offbus.cli.views.run_state import Board
from offbus.cli.views.theme import OUTCOMES
from offbus.journal.events import Event, EventKind
from offbus.printable import clean
from offbus.report.formatting import measured, seconds
from offbus.report.spans import Line, Span, Tone, line

__all__ = ["Sentence", "sentence"]

Sentence = tuple[str, list[Line]]
"""The step or lane that the lines are about, and the lines."""

UNDONE = {
    "restored": ("undone", Tone.GOOD),
    "nothing": ("nothing to undo", Tone.DIM),
    "conflict": ("CONFLICT, left alone", Tone.BAD),
    "failed": ("undo FAILED", Tone.BAD),
}


def sentence(event: Event, board: Board) -> Sentence | None:
    """What to print for an event that the board has already taken in; None for nothing."""
    tell = _TELL.get(EventKind(event["kind"]))
    return tell(event, event["data"], board) if tell else None


def _run_started(event: Event, data: Mapping[str, Any], _board: Board) -> Sentence:
    where = f"run {event['run']} on {clean(data['environment'])}, {len(data['steps'])} steps"
    return "run", [line((clean(data["name"]), Tone.STRONG), f": {where}")]


def _adopted(event: Event, data: Mapping[str, Any], _board: Board) -> Sentence:
    return "run", [line(f"run {event['run']} taken over by {clean(data['by'])} on {clean(data['host'])}")]


def _phase(_event: Event, data: Mapping[str, Any], board: Board) -> Sentence | None:
    if data["name"] == "open":
        return "run", [line("opening the environment")]
    if data["name"] == "undo":
        count = len(board.fold.pending_undos())
        return "undo", [line(f"{count or 'no'} change{'' if count == 1 else 's'} to undo")]
    return None


def _step_started(event: Event, data: Mapping[str, Any], board: Board) -> Sentence:
    if data["attempt"] > 1:
        return event["step"], [line(f"attempt {data['attempt']}")]
    uses = board.fold.steps[event["step"]].uses
    return event["step"], [line("started" if uses == event["step"] else f"started: {uses}")]


def _step_ready(event: Event, _data: Mapping[str, Any], _board: Board) -> Sentence:
    return event["step"], [line("ready")]


def _attempt_ended(event: Event, data: Mapping[str, Any], _board: Board) -> Sentence:
    outcome, pause = data["outcome"].replace("_", " "), seconds(data["again_in_s"])
    text = f" {outcome}: {clean(data['message'])}; next attempt in {pause}"
    return event["step"], [line((f"attempt {data['attempt']}", Tone.CAUTION), text)]


def _step_ended(event: Event, data: Mapping[str, Any], board: Board) -> Sentence:
    tone, _ = OUTCOMES.get(data["outcome"], (Tone.PLAIN, ""))
    word = data["outcome"].replace("_", " ")
    took = board.fold.steps[event["step"]].duration_s
    after = f" in {seconds(took)}" if took is not None else ""
    why = clean(data.get("message") or data.get("because") or "")
    first = line((word.upper() if tone is Tone.BAD else word, tone), after, f": {why}" if why else "")
    hint = [line("  ", (clean(data["hint"]), Tone.DIM))] if data.get("hint") else []
    return event["step"], [first, *hint]


def _undo_ended(_event: Event, data: Mapping[str, Any], board: Board) -> Sentence:
    undo = board.fold.undos.get(data["undo"])
    what = clean(undo.describe) if undo else f"undo {data['undo']}"
    word, tone = UNDONE.get(data["result"], (data["result"], Tone.PLAIN))
    detail = clean(data["detail"])
    return "undo", [line((word, tone), f": {what}", f" ({detail})" if detail else "")]


def _observed(_event: Event, data: Mapping[str, Any], _board: Board) -> Sentence:
    said, was = Span(clean(data["to"]), Tone(data.get("tone", Tone.PLAIN))), data.get("was")
    return data["lane"], [line(f"{clean(data['subject'])} ", said, f" (was {clean(was)})" if was else "")]


def _metric(_event: Event, data: Mapping[str, Any], board: Board) -> Sentence | None:
    declared = board.fold.declared.get(data["name"])
    if declared is not None and declared.often:
        return None
    value = measured(board.fold.metrics[data["name"]])
    return "metric", [line(f"{clean(data['name'])} ", (value, Tone.STRONG))]


def _fault_declared(_event: Event, data: Mapping[str, Any], _board: Board) -> Sentence:
    planes = ", ".join(map(clean, data["planes"])) or "none"
    return "fault", [line(f"{clean(data['subject'])}: to be proven on {planes}")]


def _fault_proven(event: Event, data: Mapping[str, Any], board: Board) -> Sentence | None:
    """The first proof of each plane; further ones are in the timeline."""
    fault = board.fold.faults.get(data["fault"])
    proof = fault.planes.get(data["plane"]) if fault else None
    if fault is None or proof is None or proof.at.seq != event["seq"]:
        return None
    short = clean(data.get("brief", ""))
    word = (f"proven on {clean(data['plane'])}", Tone.GOOD)
    return "fault", [line(f"{clean(fault.subject)} ", word, f": {short}" if short else "")]


def _needs_attention(_event: Event, data: Mapping[str, Any], _board: Board) -> Sentence:
    return "attention", [line(("a human must act", Tone.CAUTION), f": {clean(data['reason'])}")]


def _watched(_event: Event, data: Mapping[str, Any], board: Board) -> Sentence:
    undo = board.fold.undos.get(data["undo"])
    tone = Tone.GOOD if data["result"] == "quiet" else Tone.CAUTION
    spent = f" for {data['watched_s']:.3g} of {data['limit_s']:.3g} s: "
    detail = f" ({clean(data['detail'])})" if data["detail"] else ""
    what = clean(undo.describe if undo else "")
    return "settle", [line((data["result"].replace("_", " "), tone), spent, what, detail)]


def _expectation(event: Event, data: Mapping[str, Any], _board: Board) -> Sentence:
    tone = Tone.GOOD if data["result"] == "true" else Tone.BAD
    detail = f" ({clean(data['detail'])})" if data["detail"] else ""
    return event.get("step", "run"), [
        line("expected ", clean(data["text"]), ": ", (data["result"], tone), detail)
    ]


def _stopped(_event: Event, data: Mapping[str, Any], _board: Board) -> Sentence:
    return "run", [line(("stopped", Tone.CAUTION), f": {clean(data['reason'])}")]


def _residue(_event: Event, data: Mapping[str, Any], _board: Board) -> Sentence:
    first = line((clean(data["item"]), Tone.BAD), f": {clean(data['detail'])}")
    return "residue", [first, line(f"  fix: {clean(data['fix'])}")]


_TELL: dict[EventKind, Callable[[Event, Mapping[str, Any], Board], Sentence | None]] = {
    EventKind.RUN_STARTED: _run_started,
    EventKind.ADOPTED: _adopted,
    EventKind.PHASE: _phase,
    EventKind.STEP_STARTED: _step_started,
    EventKind.STEP_READY: _step_ready,
    EventKind.ATTEMPT_ENDED: _attempt_ended,
    EventKind.STEP_ENDED: _step_ended,
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
}
