"""The parts of the live screen, in lines that may be too long and too many; `layout` fits them. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from offbus.cli.views.run_state import Board, Subject
from offbus.cli.views.theme import OUTCOMES, PHASES, Glyphs
from offbus.declared import Lane
from offbus.journal.kinds import RUN_ENDED
from offbus.printable import clean
from offbus.report.formatting import measured, seconds, stopwatch
from offbus.report.gaps import RESOLVED
from offbus.report.model import StepReport
from offbus.report.spans import Line, Span, Tone, line

__all__ = ["Section", "header", "sections"]

FEWEST_STEPS = 3
WORST_FIRST = (Tone.BAD, Tone.CAUTION, Tone.GOOD)


@dataclass(frozen=True, slots=True)
class Section:
    """A titled part of the screen."""

    title: str
    rows: list[Line]
    least: int = 1
    """Rows that it keeps on a small screen."""
    focus: int = 0
    """The row that must stay visible."""


def header(board: Board) -> Line:
    """Scenario, run, elapsed time, phase."""
    run = f"  run {board.run}" if board.run else ""
    phase = PHASES.get(board.phase, board.phase)
    tone = Tone.PLAIN
    if board.fold.ended is not None:
        phase = f"ended, {RUN_ENDED.data(board.fold.ended)['verdict']}"
    elif board.fold.stops:
        phase, tone = f"stopping, {phase}: {clean(board.fold.stops[0].reason)}", Tone.CAUTION
    if board.progress.get(None):
        phase = f"{phase}: {board.progress[None]}"
    return line(
        (clean(board.name), Tone.STRONG), (run, Tone.DIM), f"  {stopwatch(board.elapsed())}  ", (phase, tone)
    )


def sections(board: Board, glyphs: Glyphs) -> list[Section]:
    """All parts that are not empty, from top to bottom."""
    residue = [
        line((f"{glyphs.bad} {clean(one.item)}", Tone.BAD), f": {clean(one.detail)}")
        for one in board.fold.residue
    ]
    found = [
        _steps(board, glyphs),
        Section("faults", list(_faults(board, glyphs)), least=2),
        *(_observed(board, one, glyphs) for one in board.fold.lanes if one.title),
        Section("undo", list(_undos(board, glyphs))),
        Section("residue", residue),
    ]
    return [one for one in found if one.rows]


def _steps(board: Board, glyphs: Glyphs) -> Section:
    steps = list(board.fold.steps.values())
    if not steps:
        waiting = [line((f"{glyphs.waiting} {step}", Tone.DIM)) for step, _ in board.plan]
        return Section("steps", waiting, least=FEWEST_STEPS)
    width = min(20, max(len(one.id) for one in steps))
    rows = [_step(board, one, width, glyphs) for one in steps]
    live = [i for i, one in enumerate(steps) if board.waits(one)]
    ended = [i for i, one in enumerate(steps) if one.ended is not None]
    focus = (live or ended or [0])[-1]
    return Section("steps", rows, least=FEWEST_STEPS, focus=focus)


def _step(board: Board, step: StepReport, width: int, glyphs: Glyphs) -> Line:
    tone, glyph = OUTCOMES[step.outcome]
    time = seconds(step.duration_s) if step.duration_s is not None else ""
    if step.outcome == "running":
        time = stopwatch(board.running_for(step.id))
    word = step.outcome.replace("_", " ")
    return line(
        (f"{getattr(glyphs, glyph)} ", tone),
        f"{step.id:<{width}}  ",
        (f"{word:<9} ", tone),
        f"{time:>7}  ",
        (_about(board, step), Tone.DIM if step.outcome in ("pending", "skipped") else Tone.PLAIN),
    )


def _about(board: Board, step: StepReport) -> str:
    """What a step waits for, or why it ended so; for the others, what they are."""
    attempt = f"attempt {step.attempts}, " if step.attempts > 1 else ""
    if step.outcome == "running":
        ready = "ready, " if step.id in board.ready else ""
        return (attempt + ready + board.progress.get(step.id, "")).removesuffix(", ")
    if step.outcome == "skipped":
        return clean(step.because or "")
    if step.outcome == "pending":
        return step.uses if step.uses != step.id else ""
    return attempt + clean(step.message or step.because or "")


def _faults(board: Board, glyphs: Glyphs) -> Iterator[Line]:
    for fault in board.fold.faults.values():
        said = board.lanes.get("fault", {}).get(fault.id)
        state = f"  {clean(said.statements[-1].text)}" if said else ""
        yield line(clean(fault.subject), (state, Tone.CAUTION))
        width = max((len(plane) for plane in fault.planes), default=0)
        for plane, proof in fault.planes.items():
            name = f"{clean(plane):<{width}} "
            if proof is not None:
                brief = clean(proof.brief)
                yield line((f"{glyphs.good} ", Tone.GOOD), name, ("proven   ", Tone.GOOD), brief)
            else:
                why = (clean(fault.missing.get(plane, "")), Tone.DIM)
                yield line((f"{glyphs.active} ", Tone.CAUTION), name, ("waiting  ", Tone.CAUTION), why)


def _observed(board: Board, lane: Lane, glyphs: Glyphs) -> Section:
    return Section(clean(lane.title), list(_feed(board, lane))) if lane.feed else _table(board, lane, glyphs)


def _table(board: Board, lane: Lane, glyphs: Glyphs) -> Section:
    """A row for each subject that something happened to, and one each for those that are gone and the unchanged."""
    subjects = board.subjects(lane.name)
    gone: list[Subject] = []
    here: list[Subject] = []
    for one in (one for one in subjects if one.seq):
        (gone if any(said.text == lane.gone for said in one.statements) else here).append(one)
    names = max((len(_short_name(one)) for one in here), default=0)
    where_width = max((len(one.where) for one in here), default=0)
    rows = [_subject(one, lane, min(34, names), min(24, where_width), glyphs) for one in here]
    for word, some in ((lane.gone, gone), ("unchanged", [one for one in subjects if not one.seq])):
        if some:
            text = f"{glyphs.skipped} {_some(list(map(_short_name, some)))} {clean(word)}"
            rows.append(line((text, Tone.DIM)))
    newest = max(range(len(here)), key=lambda number: here[number].seq, default=0)
    return Section(clean(lane.title), rows, focus=newest)


def _subject(subject: Subject, lane: Lane, names: int, where_width: int, glyphs: Glyphs) -> Line:
    beside = f" on {subject.where}"  # said already, in the column
    said = [Span(clean(one.text.removesuffix(beside)), one.tone) for one in reversed(subject.statements)]
    worst = next((tone for tone in WORST_FIRST if any(one.tone is tone for one in said)), Tone.PLAIN)
    shown = [one for one in said if one.tone is not Tone.DIM] or said[:1]
    glyph = {Tone.GOOD: glyphs.good, Tone.BAD: glyphs.bad, Tone.CAUTION: glyphs.active}.get(
        worst, glyphs.waiting
    )
    where = f"{clean(subject.where):<{where_width}}  " if where_width else ""
    count = f"  {clean(lane.count)} {subject.count}" if subject.count else ""
    return line(
        (f"{glyph} ", worst),
        f"{_short_name(subject):<{names}}  ",
        (where, Tone.DIM),
        *[part for one in shown for part in (Span(", "), one)][1:],
        (count, Tone.DIM),
    )


def _short_name(subject: Subject) -> str:
    return clean(subject.name.rpartition("/")[2])


def _some(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= 3 else f"{', '.join(names[:2])} and {len(names) - 2} more"


def _feed(board: Board, lane: Lane) -> Iterator[Line]:
    """The newest values of the lane's metrics, then the newest statement about each subject, newest first."""
    metrics = [
        f"{clean(name.removeprefix(lane.metrics)).replace('_', ' ')} {measured(one)}"
        for name, one in board.fold.ordered_metrics().items()
        if lane.metrics and name.startswith(lane.metrics)
    ]
    if metrics:
        yield line(", ".join(metrics))
    for one in sorted(board.subjects(lane.name), key=lambda subject: -subject.seq):
        newest = one.statements[-1] if one.statements else Span("unchanged", Tone.DIM)
        brief = f"  {clean(one.brief)}" if one.brief else ""
        yield line(f"{clean(one.name)} ", (clean(newest.text), newest.tone), (brief, Tone.DIM))


def _undos(board: Board, glyphs: Glyphs) -> Iterator[Line]:
    undos = list(board.fold.undos.values())
    resolved = sum(one.result in RESOLVED for one in undos)
    if not undos or (board.phase not in ("undo", "close") and not board.undoing and not resolved):
        return
    now = [clean(one.describe) for one in undos if one.undo in board.undoing]
    bad = [one for one in undos if one.result in ("conflict", "failed") and one.undo not in board.undoing]
    tone = Tone.GOOD if resolved == len(undos) else Tone.PLAIN
    yield line((f"{resolved} of {len(undos)} undone", tone), f"  now: {_some(now)}" if now else "")
    for one in bad:
        detail = one.tries[-1].detail if one.tries else ""
        yield line((f"{glyphs.bad} {one.result}: ", Tone.BAD), f"{clean(one.describe)}: {clean(detail)}")
