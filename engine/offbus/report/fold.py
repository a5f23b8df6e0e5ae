"""The fold: a journal's events to a report. Pure; any prefix of a journal folds to a valid report of an aborted run.

The runner folds as it goes and decides its verdict from the same state, so the report can never say anything that
the journal does not. Events that a damaged journal lacks show as gaps in `seq`: what they may have held is a reason of
the verdict (offbus.report.gaps), never a crash.
"""

from collections.abc import Iterable

from offbus.journal.events import Event, EventKind
from offbus.journal.kinds import RUN_STARTED, UNDO_ENDED, UNDO_STARTED
from offbus.journal.start_schemas import RunStarted
from offbus.report.event_handlers import APPLY, instant_of
from offbus.report.formatting import since
from offbus.report.model import Report
from offbus.report.state import RunState
from offbus.report.verdict import Verdict, judge

__all__ = ["Fold", "fold"]


class Fold(RunState):
    """Applies one event after the other; gives the verdict and the report of all so far."""

    def apply(self, event: Event) -> None:
        """Take the next event in. One about a step or an undo that only a damaged line named is skipped."""
        if self.first is None:
            self.first = event
        self.last = event
        self.gaps.look(event)
        if self._known(event):
            APPLY(self, event)

    def _known(self, event: Event) -> bool:
        if event["kind"] in _OF_STEPS:
            return event.get("step", "") in self.steps
        played = UNDO_STARTED.of(event) or UNDO_ENDED.of(event)
        return played is None or played["undo"] in self.undos

    @property
    def head(self) -> RunStarted:
        """What run_started says; what is known without it when that line is damaged."""
        said = RUN_STARTED.of(self.first) if self.first is not None else None
        return said if said is not None else _unknown_head(self.opened or UNKNOWN)

    def verdict(self, *, finishing: bool = False) -> Verdict:
        """What all of it says now; `finishing` when only run_ended is missing."""
        return judge(self, finishing=finishing)

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
            needs_attention=list(self.needs_attention),
            settling=list(self.settling.values()),
            stops=self.stops,
            takeovers=self.takeovers,
            exit=verdict.exit,
            complete=self.ended is not None,
            name=head["name"],
            summary=head["summary"],
            scenario=head["scenario"],
            digest=head["digest"],
            inputs=head.get("inputs", {}),
            cell=head.get("cell"),
            environment=head["environment"],
            identity=head["identity"],
            host=head["host"],
            versions=head["versions"],
            started=instant_of(self.first),
            ended=instant_of(self.ended) if self.ended else None,
            duration_s=max(0.0, since(self.first, end)),
            clock=self.first["clock"],
            steps=list(self.steps.values()),
            expectations=self.expectations,
            faults=list(self.faults.values()),
            metrics=self.ordered_metrics(),
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


_OF_STEPS = frozenset((EventKind.STEP_STARTED, EventKind.STEP_ENDED))
UNKNOWN = "unknown"


def _unknown_head(environment: str) -> RunStarted:
    """Replaces a run_started that is damaged."""
    return {
        "name": UNKNOWN,
        "summary": UNKNOWN,
        "scenario": UNKNOWN,
        "digest": UNKNOWN,
        "environment": environment,
        "identity": UNKNOWN,
        "versions": {},
        "steps": [],
        "expect": [],
        "timeout_s": 0.0,
        "undo_timeout_s": 300.0,
        "host": UNKNOWN,
        "pid": 0,
    }
