"""The ordered log of what was observed, and how to wait for entries.

The order in this log defines "after the injection": a mark is a position in a watch that began before the injection,
never a time. Late subscribers replay from their mark. No I/O here; the watches append.

The log is held in memory, and whoever may write pods or nodes can make it grow: each update keeps what was there. So
it has a size. One that is full records nothing more, which its writer is told (the observer then stops the run); the
newest projections stay right, and those who wait for a state of the world are woken as before.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, is_dataclass
from typing import Any, TypeVar

import anyio

from offbus_steps.node_clock import now_ns
from offbus_steps.port import Ref
from offbus_steps.watch.owners import Owners
from offbus_steps.watch.projections import NodeProjection, PodProjection, Projection, WorkloadProjection
from offbus_steps.watch.transitions import Change, What

__all__ = ["ROOM", "Observations", "Since", "Transition", "Update", "World"]

T = TypeVar("T")
ROOM = 512 << 20
"""Bytes of what is observed in a run: 500,000 updates of usual pods, so half an hour of 250 changes/s."""
WEIGHT = 1024
"""Bytes of an update of a usual pod, without the texts that others write into it."""
ITEM = 64
"""Bytes of each thing in a tuple besides its texts."""


@dataclass(frozen=True, slots=True)
class Transition:
    """One change in the log."""

    order: int
    """Position of its update; transitions of one update share it."""
    ref: Ref
    change: Change
    seq: int
    """Sequence number of its event in the journal."""
    mono_ns: int
    """When the runner saw it."""

    @property
    def what(self) -> What:
        """The kind of change."""
        return self.change.what


@dataclass(frozen=True, slots=True)
class Update:
    """One object changed from one projection to the next (None: it does not exist)."""

    order: int
    ref: Ref
    was: Projection | None
    now: Projection | None
    transitions: tuple[Transition, ...]
    mono_ns: int
    """When the runner saw it."""


@dataclass(frozen=True, slots=True)
class Since:
    """When something began to be true."""

    mono_ns: int
    """The runner's clock; 0 when it was true at the mark."""
    seq: int | None
    """The journal event that made it true; None when it was true at the mark, or without an event."""


@dataclass(frozen=True, slots=True)
class World:
    """All projections at one position in the log."""

    projections: Mapping[Ref, Projection]
    owners: Owners = field(default_factory=Owners)
    """Whose the pods are: the same at every position."""

    def node(self, name: str) -> NodeProjection | None:
        """The projection of a node."""
        found = self.projections.get(Ref("Node", name))
        return found if isinstance(found, NodeProjection) else None

    def nodes(self) -> Iterator[NodeProjection]:
        """All nodes."""
        return (one for one in self.projections.values() if isinstance(one, NodeProjection))

    def pods(self, namespace: str = "") -> Iterator[PodProjection]:
        """All pods (of a namespace)."""
        for one in self.projections.values():
            if isinstance(one, PodProjection) and namespace in ("", one.ref.namespace):
                yield one

    def workload(self, ref: Ref) -> WorkloadProjection | None:
        """The projection of a workload."""
        found = self.projections.get(ref)
        return found if isinstance(found, WorkloadProjection) else None


class Observations:
    """The log and the newest projections. One task appends at a time; any number may wait."""

    def __init__(self) -> None:
        self._projections: dict[Ref, Projection] = {}
        self._updates: list[Update] = []
        self._news = anyio.Event()
        self.room = ROOM
        """Bytes for which there is room."""
        self.world = World(self._projections)
        """The newest projections; updated by the watches."""

    def mark(self) -> int:
        """A position: everything appended later is "after" it."""
        return len(self._updates)

    def seed(self, projection: Projection) -> None:
        """Add an object from the first list: that is not a transition and not in the log."""
        self._projections[projection.ref] = projection
        self.room -= _weight(projection)

    def append(
        self, ref: Ref, was: Projection | None, now: Projection | None, transitions: tuple[Transition, ...]
    ) -> bool:
        """Append an update and wake the waiting tasks. False when the log is full: the update is not in it."""
        _put(self._projections, ref, now)
        self.room -= _weight(now)
        if fits := self.room >= 0:
            self._updates.append(Update(len(self._updates), ref, was, now, transitions, now_ns()))
        self.wake()
        return fits

    def wake(self) -> None:
        """Wake the waiting tasks: something is known about the world that was not."""
        news, self._news = self._news, anyio.Event()
        news.set()

    def updates(self, mark: int) -> Iterator[Update]:
        """The updates after the mark so far, in order."""
        yield from self._updates[mark:]

    async def scan(self, take: Callable[[Update], T | None], *, after: int) -> T:
        """Hand every update after the mark to `take` once, in order, past ones first, until it returns a value."""
        seen = after
        while True:
            for update in self._updates[seen:]:
                seen += 1
                if (found := take(update)) is not None:
                    return found
            await self.more(seen)

    def since(self, mark: int) -> Iterator[Transition]:
        """The transitions after the mark so far, in order."""
        for update in self._updates[mark:]:
            yield from update.transitions

    def replay(self, mark: int) -> Iterator[World]:
        """The world at the mark and after every later update, oldest first. Valid until the next is asked for."""
        projections = dict(self._projections)
        for update in reversed(self._updates[mark:]):
            _put(projections, update.ref, update.was)
        yield World(projections, self.world.owners)
        for update in self._updates[mark:]:
            _put(projections, update.ref, update.now)
            yield World(projections, self.world.owners)

    def pods_seen(self, mark: int) -> Iterator[PodProjection]:
        """Every pod, as it is now and as it was at any time since the mark (projections may repeat)."""
        yield from self.world.pods()
        for update in self._updates[mark:]:
            yield from (one for one in (update.was, update.now) if isinstance(one, PodProjection))

    async def more(self, seen: int) -> None:
        """Wait until there are more than `seen` updates."""
        while len(self._updates) <= seen:
            await self._news.wait()

    def since_when(self, holds: Callable[[World], bool], *, after: int) -> Since | None:
        """When the current period began in which `holds` is true; None when it is not true now."""
        began: Since | None = None
        starts = [Since(0, None)]
        for update in self._updates[after:]:
            last = update.transitions[-1].seq if update.transitions else None
            starts.append(Since(update.mono_ns, last))
        for start, world in zip(starts, self.replay(after), strict=True):
            true = holds(world)
            began = (start if began is None else began) if true else None
        return began

    async def ever(self, holds: Callable[[World], bool], *, after: int) -> None:
        """Wait until `holds` was true at the mark or after any later update, past ones included."""
        seen = after
        while not any(holds(world) for world in self.replay(seen)):
            seen = self.mark()
            await self.more(seen)

    async def first(self, wanted: Callable[[Transition], bool], *, after: int) -> Transition:
        """Wait for the first wanted transition after the mark, past ones included."""
        seen = after
        while True:
            for one in self.since(seen):
                if wanted(one):
                    return one
            seen = self.mark()
            await self.more(seen)

    async def until(self, answer: Callable[[World], T | None]) -> T:
        """Wait until `answer` returns a value for the newest world; called now and after every update."""
        while True:
            news = self._news
            found = answer(self.world)
            if found is not None:
                return found
            await news.wait()


def _put(projections: dict[Ref, Projection], ref: Ref, projection: Projection | None) -> None:
    if projection is None:
        projections.pop(ref, None)
    else:
        projections[ref] = projection


def _weight(projection: Projection | None) -> int:
    """Bytes that an update takes: what it was is what the update before it was to be."""
    return WEIGHT + _length(projection)


def _length(value: Any) -> int:
    """The texts in a value, and something for each thing that holds them: every field, for strangers write them all."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(_length(key) + _length(one) for key, one in value.items())
    if isinstance(value, tuple | frozenset):
        return ITEM * len(value) + sum(map(_length, value))
    if is_dataclass(value):
        return sum(_length(getattr(value, field)) for field in value.__dataclass_fields__)
    return 0
