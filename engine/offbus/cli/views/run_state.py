"""What a view knows of a run: the fold of its journal, and the latest statements about what was observed. Pure.

Nothing here knows what is observed. A lane's subjects have statements; which of them a newer one replaces, and what
evidence says of a subject, the environment declares (offbus.declared.Lane).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from offbus.declared import Lane
from offbus.journal import kinds, schemas
from offbus.journal.events import Event
from offbus.report.fold import Fold
from offbus.report.formatting import since
from offbus.report.model import StepReport
from offbus.report.spans import Span, Tone

__all__ = ["Board", "Subject"]

UNDECLARED = Lane(name="")


@dataclass(slots=True)
class Subject:
    """Something that was observed, and the latest statements about it."""

    name: str
    statements: list[Span] = field(default_factory=list)
    where: str = ""
    """Where it is, from the evidence."""
    count: int = 0
    """What the lane counts, from the evidence."""
    brief: str = ""
    """The newest evidence in one line."""
    seq: int = 0
    """Of the newest event about it; 0 while nothing has happened to it."""

    def take(self, event: Event, data: schemas.Observed, lane: Lane) -> None:
        """Take the next statement about it in."""
        tone: str = data.get("tone", Tone.PLAIN)
        was: str | None = data.get("was")
        said = Span(data["to"], Tone(tone))
        about = said.text.partition(" ")[0]
        standing = self.statements if lane.several else []
        others = [one for one in standing if one.text != was and one.text.partition(" ")[0] != about]
        self.statements = [*others, said]
        self.seq, self.brief = event["seq"], data.get("brief", "")
        evidence: Mapping[str, Any] = data.get("evidence", {})
        self.where = str(evidence.get(lane.where) or self.where)
        count = evidence.get(lane.count)
        self.count = count if isinstance(count, int) else self.count


class Board:
    """The run, as far as it is known."""

    def __init__(self, name: str, plan: list[tuple[str, str]], now_ns: Callable[[], int]) -> None:
        self.name = name
        self.plan = plan
        self.fold = Fold()
        self.lanes: dict[str, dict[str, Subject]] = {}
        self.progress: dict[str | None, str] = {}
        self.phase = ""
        self.undoing: set[int] = set()
        self.ready: set[str] = set()
        """Background steps that do their work now."""
        self._now_ns = now_ns
        self._offset_s = 0.0

    def apply(self, event: Event) -> None:
        """Take the next event in. Raises KeyError for an event about something that was never announced."""
        self.fold.apply(event)
        self._offset_s = self.at(event) - event["mono_ns"] / 1e9
        _KEEP(self, event)

    @property
    def run(self) -> str:
        """The run's id; "" before its first event."""
        return self.fold.first["run"] if self.fold.first else ""

    def at(self, event: Event) -> float:
        """When an event was, in seconds since the run began."""
        return since(self.fold.first or event, event)

    def elapsed(self) -> float:
        """Seconds since the run began; it stops once the run has ended."""
        if self.fold.first is None:
            return 0.0
        if self.fold.ended is not None:
            return self.at(self.fold.ended)
        return self._now_ns() / 1e9 + self._offset_s

    def running_for(self, step: str) -> float:
        """Seconds since a step that has not ended began."""
        started = self.fold.steps[step].started
        began = started.mono_ns / 1e9 + self._offset_s if started else self.elapsed()
        return max(0.0, self.elapsed() - began)

    def waits(self, step: StepReport) -> bool:
        """Whether a step waits for something: a background step that is ready does not."""
        return step.outcome == "running" and step.id not in self.ready

    def subjects(self, lane: str) -> list[Subject]:
        """A lane's subjects, as they appeared."""
        return list(self.lanes.get(lane, {}).values())

    def subject(self, lane: str, name: str) -> Subject:
        """A lane's subject, made when it is new."""
        return self.lanes.setdefault(lane, {}).setdefault(name, Subject(name))


_KEEP = kinds.Handlers[Board, None]()
"""What of an event the fold does not keep."""


@_KEEP.of(kinds.FINGERPRINT)
def _fingerprint(board: Board, _event: Event, data: schemas.Fingerprint) -> None:
    for lane in (one for one in board.fold.lanes if one.seed):
        for name in (item.partition(" ")[0] for item in data["items"] if item.startswith(lane.seed)):
            board.subject(lane.name, name)


@_KEEP.of(kinds.PHASE)
def _phase(board: Board, _event: Event, data: schemas.Phase) -> None:
    board.phase = data["name"]
    board.progress.pop(None, None)


@_KEEP.of(kinds.STEP_READY)
def _step_ready(board: Board, event: Event, _data: schemas.StepReady) -> None:
    board.ready.add(event["step"])


@_KEEP.of(kinds.STEP_ENDED)
def _step_ended(board: Board, event: Event, _data: schemas.StepEnded) -> None:
    board.progress.pop(event["step"], None)


@_KEEP.of(kinds.OBSERVED)
def _observed(board: Board, event: Event, data: schemas.Observed) -> None:
    declared = next((one for one in board.fold.lanes if one.name == data["lane"]), UNDECLARED)
    board.subject(data["lane"], data["subject"]).take(event, data, declared)


@_KEEP.of(kinds.UNDO_STARTED)
def _undo_started(board: Board, _event: Event, data: schemas.UndoStarted) -> None:
    board.undoing.add(data["undo"])


@_KEEP.of(kinds.UNDO_ENDED)
def _undo_ended(board: Board, _event: Event, data: schemas.UndoEnded) -> None:
    board.undoing.discard(data["undo"])
