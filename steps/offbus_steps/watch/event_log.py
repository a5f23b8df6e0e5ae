"""The ordered log of what was observed, and the waiting on it.

Order in this log is what "after the injection" means: a mark is a position in a watch that began before the
injection, never a time. Late subscribers replay from their mark. Nothing here does I/O; the watches append.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

import anyio

from offbus_steps.node_clock import now_ns
from offbus_steps.port import Ref
from offbus_steps.watch.projections import NodeProjection, PodProjection, Projection, WorkloadProjection
from offbus_steps.watch.transitions import Change, What

__all__ = ["Observations", "Since", "Transition", "Update", "World"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Transition:
    """One change, as it stands in the log."""

    order: int
    """Of its update; transitions of one update share it."""
    ref: Ref
    change: Change
    seq: int
    """Of its event in the journal."""
    mono_ns: int
    """When the runner saw it."""

    @property
    def what(self) -> What:
        """The kind of change."""
        return self.change.what


@dataclass(frozen=True, slots=True)
class Update:
    """One object went from one view to the next (None: not there)."""

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
    """The journal's event that made it true; None when it was true at the mark, or no event tells of it."""


@dataclass(frozen=True, slots=True)
class World:
    """All views at one place in the log."""

    projections: Mapping[Ref, Projection]

    def node(self, name: str) -> NodeProjection | None:
        """A node's view."""
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
        """A workload's view."""
        found = self.projections.get(ref)
        return found if isinstance(found, WorkloadProjection) else None


class Observations:
    """The log and the newest views. One task appends at a time; any number wait."""

    def __init__(self) -> None:
        self._projections: dict[Ref, Projection] = {}
        self._updates: list[Update] = []
        self._news = anyio.Event()
        self.world = World(self._projections)
        """The newest views; it changes as the watches go on."""

    def mark(self) -> int:
        """A position: everything appended later is "after" it."""
        return len(self._updates)

    def seed(self, view: Projection) -> None:
        """A first sight, by a list: it is no transition and does not stand in the log."""
        self._projections[view.ref] = view

    def append(
        self, ref: Ref, was: Projection | None, now: Projection | None, transitions: tuple[Transition, ...]
    ) -> None:
        """Take an update in and wake those who wait."""
        if now is None:
            self._projections.pop(ref, None)
        else:
            self._projections[ref] = now
        self._updates.append(Update(len(self._updates), ref, was, now, transitions, now_ns()))
        news, self._news = self._news, anyio.Event()
        news.set()

    def since(self, mark: int) -> Iterator[Transition]:
        """The transitions after the mark that are there now, in order."""
        for update in self._updates[mark:]:
            yield from update.transitions

    def replay(self, mark: int) -> Iterator[World]:
        """The world at the mark and after every later update, oldest first. Valid until the next is asked for."""
        projections = dict(self._projections)
        for update in reversed(self._updates[mark:]):
            _put(projections, update.ref, update.was)
        yield World(projections)
        for update in self._updates[mark:]:
            _put(projections, update.ref, update.now)
            yield World(projections)

    def pods_seen(self, mark: int) -> Iterator[PodProjection]:
        """Every pod, as it is now and as it ever was since the mark (views may repeat)."""
        yield from self.world.pods()
        for update in self._updates[mark:]:
            yield from (view for view in (update.was, update.now) if isinstance(view, PodProjection))

    async def more(self, seen: int) -> None:
        """Wait until there are more than `seen` updates."""
        while len(self._updates) <= seen:
            await self._news.wait()

    def since_when(self, holds: Callable[[World], bool], *, after: int) -> Since | None:
        """When the newest stretch began in which `holds` is true; None when it is not true now."""
        began: Since | None = None
        starts = [Since(0, None), *(_start(update) for update in self._updates[after:])]
        for start, world in zip(starts, self.replay(after), strict=True):
            true = holds(world)
            began = (start if began is None else began) if true else None
        return began

    async def ever(self, holds: Callable[[World], bool], *, after: int) -> None:
        """Wait until `holds` was true at the mark or after any later update: replayed, then waited for."""
        seen = after
        while not any(holds(world) for world in self.replay(seen)):
            seen = self.mark()
            await self.more(seen)

    async def first(self, wanted: Callable[[Transition], bool], *, after: int) -> Transition:
        """The first transition after the mark that is wanted: replayed, then waited for."""
        seen = after
        while True:
            for one in self.since(seen):
                if wanted(one):
                    return one
            seen = self.mark()
            await self.more(seen)

    async def until(self, answer: Callable[[World], T | None]) -> T:
        """Wait until `answer` gives something for the newest world, asking once now and after every update."""
        while True:
            seen = self.mark()
            found = answer(self.world)
            if found is not None:
                return found
            await self.more(seen)


def _start(update: Update) -> Since:
    return Since(update.mono_ns, update.transitions[-1].seq if update.transitions else None)


def _put(projections: dict[Ref, Projection], ref: Ref, view: Projection | None) -> None:
    if view is None:
        projections.pop(ref, None)
    else:
        projections[ref] = view
