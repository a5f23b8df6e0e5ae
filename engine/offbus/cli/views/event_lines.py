"""The journal's events as lines for people and CI logs: one event, one line, and only what matters. Pure."""

from offbus.cli.views.run_state import Board
from offbus.cli.views.theme import OUTCOMES
from offbus.journal import kinds, schemas
from offbus.journal.events import Event
from offbus.journal.start_schemas import RunStarted
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
_TELL = kinds.Handlers[Board, Sentence | None]()


def sentence(event: Event, board: Board) -> Sentence | None:
    """What to print for an event that the board has already taken in; None for nothing."""
    return _TELL(board, event)


@_TELL.of(kinds.RUN_STARTED)
def _run_started(_board: Board, event: Event, data: RunStarted) -> Sentence:
    where = f"run {event['run']} on {clean(data['environment'])}, {len(data['steps'])} steps"
    return "run", [line((clean(data["name"]), Tone.STRONG), f": {where}")]


@_TELL.of(kinds.ADOPTED)
def _adopted(_board: Board, event: Event, data: schemas.Adopted) -> Sentence:
    return "run", [line(f"run {event['run']} taken over by {clean(data['by'])} on {clean(data['host'])}")]


@_TELL.of(kinds.PHASE)
def _phase(board: Board, _event: Event, data: schemas.Phase) -> Sentence | None:
    if data["name"] == "open":
        return "run", [line("opening the environment")]
    if data["name"] == "undo":
        count = len(board.fold.pending_undos())
        return "undo", [line(f"{count or 'no'} change{'' if count == 1 else 's'} to undo")]
    return None


@_TELL.of(kinds.STEP_STARTED)
def _step_started(board: Board, event: Event, data: schemas.StepStarted) -> Sentence:
    if data["attempt"] > 1:
        return event["step"], [line(f"attempt {data['attempt']}")]
    uses = board.fold.steps[event["step"]].uses
    return event["step"], [line("started" if uses == event["step"] else f"started: {uses}")]


@_TELL.of(kinds.STEP_READY)
def _step_ready(_board: Board, event: Event, _data: schemas.StepReady) -> Sentence:
    return event["step"], [line("ready")]


@_TELL.of(kinds.ATTEMPT_ENDED)
def _attempt_ended(_board: Board, event: Event, data: schemas.AttemptEnded) -> Sentence:
    outcome, pause = data["outcome"].replace("_", " "), seconds(data["again_in_s"])
    text = f" {outcome}: {clean(data['message'])}; next attempt in {pause}"
    return event["step"], [line((f"attempt {data['attempt']}", Tone.CAUTION), text)]


@_TELL.of(kinds.STEP_ENDED)
def _step_ended(board: Board, event: Event, data: schemas.StepEnded) -> Sentence:
    tone, _ = OUTCOMES.get(data["outcome"], (Tone.PLAIN, ""))
    word = data["outcome"].replace("_", " ")
    took = board.fold.steps[event["step"]].duration_s
    after = f" in {seconds(took)}" if took is not None else ""
    told: str = data.get("message") or data.get("because") or ""
    why = clean(told)
    first = line((word.upper() if tone is Tone.BAD else word, tone), after, f": {why}" if why else "")
    hint: str | None = data.get("hint")
    return event["step"], [first, line("  ", (clean(hint), Tone.DIM))] if hint else [first]


@_TELL.of(kinds.UNDO_ENDED)
def _undo_ended(board: Board, _event: Event, data: schemas.UndoEnded) -> Sentence:
    undo = board.fold.undos.get(data["undo"])
    what = clean(undo.describe) if undo else f"undo {data['undo']}"
    word, tone = UNDONE.get(data["result"], (data["result"], Tone.PLAIN))
    detail = clean(data["detail"])
    return "undo", [line((word, tone), f": {what}", f" ({detail})" if detail else "")]


@_TELL.of(kinds.OBSERVED)
def _observed(_board: Board, _event: Event, data: schemas.Observed) -> Sentence:
    tone: str = data.get("tone", Tone.PLAIN)
    was: str | None = data.get("was")
    said = Span(clean(data["to"]), Tone(tone))
    return data["lane"], [line(f"{clean(data['subject'])} ", said, f" (was {clean(was)})" if was else "")]


@_TELL.of(kinds.METRIC)
def _metric(board: Board, _event: Event, data: schemas.Metric) -> Sentence | None:
    declared = board.fold.declared.get(data["name"])
    if declared is not None and declared.often:
        return None
    value = measured(board.fold.metrics[data["name"]])
    return "metric", [line(f"{clean(data['name'])} ", (value, Tone.STRONG))]


@_TELL.of(kinds.FAULT_DECLARED)
def _fault_declared(_board: Board, _event: Event, data: schemas.FaultDeclared) -> Sentence:
    planes = ", ".join(map(clean, data["planes"])) or "none"
    return "fault", [line(f"{clean(data['subject'])}: to be proven on {planes}")]


@_TELL.of(kinds.FAULT_PROVEN)
def _fault_proven(board: Board, event: Event, data: schemas.FaultProven) -> Sentence | None:
    """The first proof of each plane; further ones are in the timeline."""
    fault = board.fold.faults.get(data["fault"])
    proof = fault.planes.get(data["plane"]) if fault else None
    if fault is None or proof is None or proof.at.seq != event["seq"]:
        return None
    brief: str = data.get("brief", "")
    short = clean(brief)
    word = (f"proven on {clean(data['plane'])}", Tone.GOOD)
    return "fault", [line(f"{clean(fault.subject)} ", word, f": {short}" if short else "")]


@_TELL.of(kinds.NEEDS_ATTENTION)
def _needs_attention(_board: Board, _event: Event, data: schemas.NeedsAttention) -> Sentence:
    return "attention", [line(("a human must act", Tone.CAUTION), f": {clean(data['reason'])}")]


@_TELL.of(kinds.WATCHED)
def _watched(board: Board, _event: Event, data: schemas.Watched) -> Sentence:
    undo = board.fold.undos.get(data["undo"])
    tone = Tone.GOOD if data["result"] == "quiet" else Tone.CAUTION
    spent = f" for {data['watched_s']:.3g} of {data['limit_s']:.3g} s: "
    detail = f" ({clean(data['detail'])})" if data["detail"] else ""
    what = clean(undo.describe if undo else "")
    return "settle", [line((data["result"].replace("_", " "), tone), spent, what, detail)]


@_TELL.of(kinds.EXPECTATION)
def _expectation(_board: Board, event: Event, data: schemas.Expectation) -> Sentence:
    tone = Tone.GOOD if data["result"] == "true" else Tone.BAD
    detail = f" ({clean(data['detail'])})" if data["detail"] else ""
    return event.get("step", "run"), [
        line("expected ", clean(data["text"]), ": ", (data["result"], tone), detail)
    ]


@_TELL.of(kinds.STOPPED)
def _stopped(_board: Board, _event: Event, data: schemas.Stopped) -> Sentence:
    return "run", [line(("stopped", Tone.CAUTION), f": {clean(data['reason'])}")]


@_TELL.of(kinds.RESIDUE)
def _residue(_board: Board, _event: Event, data: schemas.Residue) -> Sentence:
    first = line((clean(data["item"]), Tone.BAD), f": {clean(data['detail'])}")
    return "residue", [first, line(f"  fix: {clean(data['fix'])}")]
