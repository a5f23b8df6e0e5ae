"""Every kind of event, joined to the schema of its data: how events are written and read.

    journal.append(PHASE({"name": "close"}))                        # a writer
    if (phase := PHASE.of(event)) is not None: phase["name"]        # a reader

So mypy finds a misspelt field on both sides, and a schema of offbus.journal.schemas is the only source of what an event
holds. `Event.data` itself is an `object`, so that nobody reads past this. A field that may be missing is read by `get`
into something that has a type: of a misspelt one, `get` gives an `object`.

None of it checks at run time: what is written, mypy has checked; what is read, offbus.journal.codec has, line by line.
"""

from collections.abc import Callable, Mapping
from typing import Any, Generic, NamedTuple, TypeVar, cast

from offbus.journal import schemas, start_schemas
from offbus.journal.events import Event, EventKind

__all__ = ["DATA", "Draft", "Handlers", "Kind", "shown"]

D = TypeVar("D", bound=Mapping[str, object])
"""The data of a kind."""
S = TypeVar("S")
R = TypeVar("R")


class Draft(NamedTuple):
    """An event that is to be written: what the writer does not know."""

    kind: EventKind
    data: Mapping[str, object]


class Kind(Generic[D]):
    """A kind of event whose data are a `D`."""

    def __init__(self, name: EventKind) -> None:
        self.name = name

    def __call__(self, data: D) -> Draft:
        """An event of this kind, to be written."""
        return Draft(self.name, data)

    def of(self, event: Event) -> D | None:
        """The data of an event; None when it is of another kind."""
        return cast("D", event["data"]) if event["kind"] == self.name else None

    def data(self, event: Event) -> D:
        """The data of an event that is of this kind. Raises ValueError for one that is not."""
        data = self.of(event)
        if data is None:
            raise ValueError(f"the event is of kind {event['kind']}, not {self.name}")
        return data


def shown(event: Event) -> Mapping[str, object]:
    """The data of an event of any kind, for those who show them whole and know none of them."""
    return cast("Mapping[str, object]", event["data"])


class Handlers(Generic[S, R]):
    """What somebody does with the events of a journal: a function for each kind, which gets the data in their type."""

    def __init__(self) -> None:
        self.by_kind: dict[str, Callable[[S, Event, Any], R]] = {}

    def of(self, kind: Kind[D]) -> Callable[[Callable[[S, Event, D], R]], Callable[[S, Event, D], R]]:
        """Decorates the function of a kind."""

        def add(handler: Callable[[S, Event, D], R]) -> Callable[[S, Event, D], R]:
            self.by_kind[kind.name] = handler
            return handler

        return add

    def __call__(self, subject: S, event: Event) -> R | None:
        """What the function of the event's kind returns; None where there is none."""
        handler = self.by_kind.get(event["kind"])
        return handler(subject, event, event["data"]) if handler is not None else None


DATA: dict[EventKind, type[Any]] = {}
"""Kind -> the schema of its data, for those who check lines at run time."""


def _kind(name: EventKind, schema: type[D]) -> Kind[D]:
    DATA[name] = schema
    return Kind(name)


RUN_STARTED = _kind(EventKind.RUN_STARTED, start_schemas.RunStarted)
ADOPTED = _kind(EventKind.ADOPTED, schemas.Adopted)
ENVIRONMENT_OPENED = _kind(EventKind.ENVIRONMENT_OPENED, schemas.EnvironmentOpened)
FINGERPRINT = _kind(EventKind.FINGERPRINT, schemas.Fingerprint)
PHASE = _kind(EventKind.PHASE, schemas.Phase)
STEP_STARTED = _kind(EventKind.STEP_STARTED, schemas.StepStarted)
STEP_READY = _kind(EventKind.STEP_READY, schemas.StepReady)
ATTEMPT_ENDED = _kind(EventKind.ATTEMPT_ENDED, schemas.AttemptEnded)
STEP_ENDED = _kind(EventKind.STEP_ENDED, schemas.StepEnded)
UNDO_RECORDED = _kind(EventKind.UNDO_RECORDED, schemas.UndoRecorded)
UNDO_STARTED = _kind(EventKind.UNDO_STARTED, schemas.UndoStarted)
UNDO_ENDED = _kind(EventKind.UNDO_ENDED, schemas.UndoEnded)
OBSERVED = _kind(EventKind.OBSERVED, schemas.Observed)
METRIC = _kind(EventKind.METRIC, schemas.Metric)
FAULT_DECLARED = _kind(EventKind.FAULT_DECLARED, schemas.FaultDeclared)
FAULT_PROVEN = _kind(EventKind.FAULT_PROVEN, schemas.FaultProven)
NEEDS_ATTENTION = _kind(EventKind.NEEDS_ATTENTION, schemas.NeedsAttention)
WATCHED = _kind(EventKind.WATCHED, schemas.Watched)
EXPECTATION = _kind(EventKind.EXPECTATION, schemas.Expectation)
STOPPED = _kind(EventKind.STOPPED, schemas.Stopped)
RESIDUE = _kind(EventKind.RESIDUE, schemas.Residue)
RUN_ENDED = _kind(EventKind.RUN_ENDED, schemas.RunEnded)
