"""Where a recording and a release's course differ: each quarantine against the situation that its action asks for.

A difference is a stage that came too early or too late after another, before one that it follows, not at all, or that
does not belong there. What cannot be judged is none: a stage that was so before, times across a gap of the recording,
and what had not come when somebody cleared the fault or the node, or when the recording ended. Pure.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from offbus_steps.nvsentinel.course import ENDING, Course, Situation, Stage, Transition
from offbus_steps.recordings.format import Gap, Recording
from offbus_steps.recordings.quarantines import Moment, Quarantine, quarantines

__all__ = ["Comparison", "Difference", "compare"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference, in words."""

    kind: Literal["early", "late", "order", "missing", "unexpected", "unknown"]
    line: int
    """Of the recording."""
    transition: str
    expected: str
    seen: str
    source: str = ""
    """Whether the expectation was seen or read, and where."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One quarantine against its situation."""

    quarantine: Quarantine
    situation: str
    """ "" where the course has none for it."""
    compared: int
    """How many transitions were seen whole."""
    differences: tuple[Difference, ...]


def compare(recording: Recording, course: Course, fault_at: float | None = None) -> list[Comparison]:
    """All quarantines of a recording. `fault_at`: when, in it, the fault of the first later quarantine was made."""
    gaps = sorted(line.at for _, line in recording.lines if isinstance(line, Gap))
    found = quarantines(recording)
    if fault_at is not None:
        first = next((one for one in found if one.begun.at >= fault_at and not one.partial), None)
        if first is not None:
            first.stages[Stage.FAULT] = Moment(fault_at, first.begun.line)
    return [_compared(one, course, gaps) for one in found]


def _compared(one: Quarantine, course: Course, gaps: Sequence[float]) -> Comparison:
    acted = {Stage.CORDON, Stage.REQUESTED, Stage.EVICTION} & (one.stages.keys() | one.before)
    dry = Stage.QUARANTINE in one.stages and not acted and not one.partial
    action = one.actions[0] if one.actions else ""
    situation = course.situation(action, cordons=not dry)
    if situation is None:
        what = f"the action {action}" if action else "a quarantine without a recommended action"
        expected = f"{course.name} has no course for {what}"
        return Comparison(one, "", 0, (Difference("unknown", one.begun.line, "", expected, _stages_of(one)),))
    both = [t for t in situation.transitions if {t.after, t.stage} <= one.stages.keys()]
    whole = one.entities <= course.cleared_entities
    found = [
        *_unexpected(one, situation, whole=whole),
        *(d for t in both if (d := _timed(one, t, gaps)) is not None),
        *(d for t in situation.transitions if (d := _missing(one, t, situation, whole=whole)) is not None),
    ]
    return Comparison(one, situation.name, len(both), tuple(sorted(found, key=lambda d: d.line)))


def _timed(one: Quarantine, of: Transition, gaps: Sequence[float]) -> Difference | None:
    """A transition that was seen whole; what somebody did by hand has no time. `gaps`: when, ascending."""
    if of.stage in ENDING and Stage.CANCELLED in one.stages:
        return None
    began, came = one.stages[of.after], one.stages[of.stage]
    took = came.at - began.at
    if not of.may_precede and took < -of.precision_s:
        seen = f"{of.stage} came {-took:.1f} s before {of.after} (line {began.line})"
        return _difference("order", came, of, f"{of.stage} after {of.after}", seen)
    first, last = sorted((began.at, came.at))
    if bisect_left(gaps, first) < bisect_right(
        gaps, last
    ):  # a gap between the two: either may have come at any time
        return None
    if took < of.earliest_s or (of.latest_s is not None and took > of.latest_s):
        kind: Literal["early", "late"] = "early" if took < of.earliest_s else "late"
        return _difference(kind, came, of, _bounds(of), f"{took:.1f} s")
    return None


def _missing(one: Quarantine, of: Transition, situation: Situation, *, whole: bool) -> Difference | None:
    """A stage that should have followed one that was seen."""
    if not of.required or of.after not in one.stages or {of.stage} & (one.stages.keys() | one.before):
        return None
    if of.stage in ENDING and (not whole or Stage.CANCELLED in one.stages):
        return None
    ended = [one.stages[end].at for end in ENDING if end in one.stages and of.stage not in ENDING]
    waited = min([one.until, *ended]) - one.stages[of.after].at
    later = sorted(_later(of.stage, situation) & one.stages.keys(), key=lambda stage: one.stages[stage].at)
    if later and not one.partial:
        seen = f"{later[0]} (line {one.stages[later[0]].line}) without it"
        return _difference("missing", one.stages[later[0]], of, _bounds(of), seen)
    if of.latest_s is None or waited <= of.latest_s:
        return None
    return _difference("missing", one.stages[of.after], of, _bounds(of), f"not within {waited:.1f} s")


def _unexpected(one: Quarantine, situation: Situation, *, whole: bool) -> Iterator[Difference]:
    """Stages that do not belong there."""
    for stage, moment in one.stages.items():
        if stage not in situation.stages:
            expected = f"no {stage} (situation: {situation.name})"
            yield Difference("unexpected", moment.line, str(stage), expected, f"{stage} at {moment.at:.1f} s")
    cleared, uncordoned = one.stages.get(Stage.HEALTHY), one.stages.get(Stage.UNCORDON)
    if not whole and cleared and uncordoned and Stage.CANCELLED not in one.stages:
        expected = f"the cordon stays: a fault of {one.entities} entities is not cleared whole"
        seen = f"{Stage.UNCORDON} {uncordoned.at - cleared.at:.1f} s after {Stage.HEALTHY}"
        yield Difference("unexpected", uncordoned.line, str(Stage.UNCORDON), expected, seen)


def _later(stage: Stage, situation: Situation) -> set[Stage]:
    """The stages that come only after this one, those aside that end a quarantine."""
    found: set[Stage] = set()
    new = {stage}
    while new:
        new = (
            {t.stage for t in situation.transitions if t.after in new and not t.may_precede} - found - ENDING
        )
        found |= new
    return found


def _difference(
    kind: Literal["early", "late", "order", "missing"], at: Moment, of: Transition, expected: str, seen: str
) -> Difference:
    return Difference(kind, at.line, f"{of.after} → {of.stage}", expected, seen, f"{of.basis}: {of.source}")


def _bounds(of: Transition) -> str:
    """The times that were seen, and those that are no difference."""
    if of.high_s is None or of.latest_s is None:
        return f"at least {of.low_s:g} s"
    known = f"{of.low_s:g} s" if of.low_s == of.high_s else f"{of.low_s:g} to {of.high_s:g} s"
    return f"{known} (accepted: {of.earliest_s:.2g} to {of.latest_s:.3g} s)"


def _stages_of(one: Quarantine) -> str:
    return ", ".join(one.stages)
