"""What a view knows of a run: the fold of its journal, and the latest statements about what was observed. Pure.

Nothing here knows what a node or a pod is. A lane's subjects have statements ("cordoned", "state draining"); a newer
statement replaces the one that it names as `was`, or one that begins with the same word.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from offbus.journal.events import Event, EventKind
from offbus.report.fold import Fold
from offbus.report.formatting import since
from offbus.report.model import StepReport

__all__ = ["Board", "Subject"]

SEEDED_LANES = ("node",)
"""Lanes whose subjects are known from the fingerprint, before anything happens to them."""


@dataclass(slots=True)
class Subject:
    """Something that was observed, and the latest statements about it."""

    name: str
    statements: list[str] = field(default_factory=list)
    node: str = ""
    """Where it is, from the evidence."""
    restarts: int = 0
    evidence: Mapping[str, Any] = field(default_factory=dict)
    seq: int = 0
    """Of the newest event about it; 0 while nothing has happened to it."""

    def say(self, to: str, was: str | None) -> None:
        """Take the next statement in."""
        if self.node and was is None:
            self.statements.clear()  # a subject on a node has one state, stated in full
        about = to.partition(" ")[0]
        others = [one for one in self.statements if one != was and one.partition(" ")[0] != about]
        self.statements = [*others, to]


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
        kind = EventKind(event["kind"])
        self.fold.apply(event)
        self._offset_s = self.at(event) - event["mono_ns"] / 1e9
        keep = _KEEP.get(kind)
        if keep is not None:
            keep(self, event, event["data"])

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

    def lane(self, name: str) -> list[Subject]:
        """A lane's subjects, as they appeared."""
        return list(self.lanes.get(name, {}).values())

    def subject(self, lane: str, name: str) -> Subject:
        """A lane's subject, made when it is new."""
        return self.lanes.setdefault(lane, {}).setdefault(name, Subject(name))


def _fingerprint(board: Board, _event: Event, data: Mapping[str, Any]) -> None:
    for item in data["items"]:
        name = item.partition(" ")[0]
        lane = name.partition("/")[0].lower()
        if lane in SEEDED_LANES:
            board.subject(lane, name)


def _phase(board: Board, _event: Event, data: Mapping[str, Any]) -> None:
    board.phase = data["name"]
    board.progress.pop(None, None)


def _step_ready(board: Board, event: Event, _data: Mapping[str, Any]) -> None:
    board.ready.add(event["step"])


def _step_ended(board: Board, event: Event, _data: Mapping[str, Any]) -> None:
    board.progress.pop(event["step"], None)


def _observed(board: Board, event: Event, data: Mapping[str, Any]) -> None:
    subject = board.subject(data["lane"], data["subject"])
    evidence = data.get("evidence") or {}
    subject.say(data["to"], data.get("was"))
    subject.seq, subject.evidence = event["seq"], evidence
    subject.node = str(evidence.get("node") or subject.node)
    restarts = evidence.get("restarts")
    if isinstance(restarts, int):
        subject.restarts = restarts


def _undo_started(board: Board, _event: Event, data: Mapping[str, Any]) -> None:
    board.undoing.add(data["undo"])


def _undo_ended(board: Board, _event: Event, data: Mapping[str, Any]) -> None:
    board.undoing.discard(data["undo"])


_KEEP: dict[EventKind, Callable[[Board, Event, Mapping[str, Any]], None]] = {
    EventKind.FINGERPRINT: _fingerprint,
    EventKind.PHASE: _phase,
    EventKind.STEP_READY: _step_ready,
    EventKind.STEP_ENDED: _step_ended,
    EventKind.OBSERVED: _observed,
    EventKind.UNDO_STARTED: _undo_started,
    EventKind.UNDO_ENDED: _undo_ended,
}
