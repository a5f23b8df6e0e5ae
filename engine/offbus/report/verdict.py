"""The verdict: passed only when every step, expectation, proof and undo succeeded (design.md, section 4).

Pure: it reads the folded state and says passed, failed, errored or aborted, why, and the exit code.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from offbus.exits import Exit, worst
from offbus.report.formatting import why_pending, why_residue

if TYPE_CHECKING:
    from offbus.report.state import RunState

__all__ = ["Verdict", "judge"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict on a run."""

    verdict: Literal["passed", "failed", "errored", "aborted"]
    vacuous: bool
    reasons: tuple[str, ...]
    exit: Exit


@dataclass(frozen=True, slots=True)
class _Fault:
    """One thing that keeps a run from passing."""

    reason: str
    exit: Exit


SKIPPED_ON_PURPOSE = "when"
"""`because` of a step whose `when` was false: it counts as passed."""


def judge(state: "RunState", *, finishing: bool = False) -> Verdict:
    """The verdict over everything folded so far; `finishing` when all that is missing is run_ended itself."""
    found = [
        *_stops(state),
        *_steps(state),
        *_expectations(state),
        *_faults(state),
        *_residue(state),
        *_damage(state),
    ]
    vacuous = not any(fault.proven for fault in state.faults.values())
    if vacuous:
        found.append(_Fault("vacuous: no fault was proven, so the drill shows nothing", Exit.FAILED))
    exit_code = worst(*(one.exit for one in found))
    reasons = tuple(dict.fromkeys(one.reason for one in found))
    if state.ended is None and not finishing:
        return Verdict(
            "aborted", vacuous, ("the run did not finish", *reasons), worst(exit_code, Exit.COULD_NOT_RUN)
        )
    if not found:
        return Verdict("passed", vacuous, reasons, exit_code)
    errored = {one.exit for one in found} & {Exit.COULD_NOT_RUN, Exit.INTERRUPTED}
    return Verdict("errored" if errored else "failed", vacuous, reasons, exit_code)


def _stops(state: "RunState") -> Iterator[_Fault]:
    for stop in state.stops:
        code = Exit.INTERRUPTED if stop.cause == "signal" else Exit.COULD_NOT_RUN
        yield _Fault(stop.reason, code)


def _steps(state: "RunState") -> Iterator[_Fault]:
    """Steps that ended only because of others are named when there is no culprit to name."""
    bad = [
        step
        for step in state.steps.values()
        if step.outcome != "passed" and (step.outcome, step.because) != ("skipped", SKIPPED_ON_PURPOSE)
    ]
    culprits = [step for step in bad if step.outcome not in NOT_THE_CULPRIT]
    for step in culprits or ([] if state.stops else bad):
        detail = step.message or step.because
        why = f"step {step.id} {step.outcome.replace('_', ' ')}" + (f": {detail}" if detail else "")
        errored = step.outcome == "errored" or (step.outcome == "timed_out" and step.kind == "action")
        yield _Fault(why, Exit.COULD_NOT_RUN if errored else Exit.FAILED)


NOT_THE_CULPRIT = ("skipped", "cancelled", "pending", "running")


def _expectations(state: "RunState") -> Iterator[_Fault]:
    for one in state.expectations:
        if one.result != "true":
            yield _Fault(f"expected {one.text}: {one.detail or one.result}", Exit.FAILED)


def _faults(state: "RunState") -> Iterator[_Fault]:
    for fault in state.faults.values():
        for plane, missing in fault.missing.items():
            why = missing or "no proof was seen"
            yield _Fault(f"fault on {fault.subject} not proven on plane {plane}: {why}", Exit.FAILED)


def _residue(state: "RunState") -> Iterator[_Fault]:
    for one in state.residue:
        yield _Fault(why_residue(one), Exit.RESIDUE)
    reported = {one.item for one in state.residue}
    for undo in state.pending_undos():
        if undo.describe not in reported:
            yield _Fault(why_pending(undo), Exit.RESIDUE)


def _damage(state: "RunState") -> Iterator[_Fault]:
    """Missing events keep a run from passing; a lost record of an undo is residue unless all is as before."""
    for gap in state.gaps.descriptions():
        yield _Fault(gap, Exit.COULD_NOT_RUN)
    if not state.as_before:
        for number in state.gaps.lost_undos():
            yield _Fault(f"not undone: undo {number}, whose record is missing", Exit.RESIDUE)
