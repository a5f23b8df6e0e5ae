"""Records what a responder does to a cluster, by watches alone: it lists and watches, and changes nothing.

Each object is kept as its view; what differs between two views becomes lines. Of the first lists only a responder's
marks and cordons are told, as initial. A kind that is not served or may not be watched is named in the header, and
everything else is recorded; without the nodes there is nothing to record. What a watch may have missed is a gap. A
server that is away for a minute ends the recording, which is then whole up to there.
"""

from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field

import anyio

import offbus
from offbus.errors import CouldNotRun, UsageError, ungrouped
from offbus_steps.nvsentinel.names import USUAL_NAMESPACE
from offbus_steps.port import Forbidden, Objects, Ref, Silent, Unavailable
from offbus_steps.recordings.access import RECORDED_KINDS
from offbus_steps.recordings.fields import (
    ANNOTATION,
    CONDITION,
    CORDONED,
    EXISTS,
    FINDINGS,
    LABEL,
    is_unhealthy,
)
from offbus_steps.recordings.format import Change, End, Gap, Header, Line, Value
from offbus_steps.recordings.responder_versions import responder_versions
from offbus_steps.recordings.views import View, Views
from offbus_steps.recordings.writer import RecordingWriter
from offbus_steps.watch.follow import follow
from offbus_steps.watch.scope import Scope

__all__ = ["Recorder", "Wanted"]

TOLD = frozenset({"Node", *RECORDED_KINDS[2:-1]})
"""Kinds whose new objects are told, and whose changes a person sees meanwhile."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is recorded."""

    nodes: frozenset[str] = frozenset()
    """Only these; all when there are none."""
    names: bool = False
    """Nodes have their own names."""
    seconds: float | None = None
    """For how long, once it has begun."""
    responder_namespace: str = USUAL_NAMESPACE
    """Where the responder is deployed."""


@dataclass(slots=True)
class Recorder:
    """One recording. `run` it once; `stop` ends it."""

    objects: Objects
    writer: RecordingWriter
    wanted: Wanted
    progress: Callable[[str], None]
    """Is given a line for each change that a person wants to see; what it says comes from the cluster."""
    changes: int = 0
    gaps: int = 0
    _views: dict[Ref, View] = field(default_factory=dict)
    _unwatched: dict[str, str] = field(default_factory=dict)
    _early: list[Line] | None = field(default_factory=list)
    """Lines from before the header; None once it is written."""
    _began: float = field(default_factory=anyio.current_time)
    _make: Views = field(init=False)
    _stopped: anyio.Event = field(default_factory=anyio.Event)
    _why: str = ""

    def __post_init__(self) -> None:
        self._make = Views(self._views.get, nodes=self.wanted.nodes, names=self.wanted.names)

    @property
    def seconds(self) -> float:
        """How long it has been recording."""
        return round(anyio.current_time() - self._began, 3)

    def stop(self, why: str) -> None:
        """End it; the first reason counts."""
        self._why = self._why or why
        self._stopped.set()

    async def run(self, serves: str) -> str:
        """Record until it is stopped; why it was. Raises UsageError, CouldNotRun."""
        with ungrouped():
            try:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._record, serves)
                    await self._stopped.wait()
                    tasks.cancel_scope.cancel()
            finally:
                if self._early is None:  # an error that ends it is not hidden by one of its last line
                    with suppress(CouldNotRun):
                        self.writer.write(
                            End(at=self.seconds, end=self._why or "it could not be recorded any more")
                        )
        return self._why

    async def _record(self, serves: str) -> None:
        scopes = {kind: Scope(kind, "", self._make.view) for kind in RECORDED_KINDS}
        async with anyio.create_task_group() as tasks:
            *first, events = scopes.values()
            for scope in first:
                tasks.start_soon(self._follow, scope)
            for scope in first:
                await scope.listed.wait()
            self._require_nodes()
            tasks.start_soon(self._follow, events)
            await events.listed.wait()
            self._begin(serves, await responder_versions(self.objects, self.wanted.responder_namespace))
            if self.wanted.seconds is not None:
                await anyio.sleep(self.wanted.seconds)
                self.stop(f"after {self.wanted.seconds:g} s")

    def _begin(self, serves: str, responder: list[str]) -> None:
        watched = [kind for kind in RECORDED_KINDS if kind not in self._unwatched]
        nodes = sum(ref.kind == "Node" for ref in self._views)
        self.writer.write(
            Header(
                offbus=offbus.__version__,
                serves=serves[:200],
                responder=responder,
                watched=watched,
                unwatched=self._unwatched,
                nodes=nodes,
                names=self.wanted.names,
            )
        )
        early, self._early = self._early or [], None
        for line in sorted(early, key=lambda line: line.at):  # the kinds were listed side by side
            self._write(line)
        for kind, why in self._unwatched.items():
            self.progress(f"{kind} objects are not recorded: {why}")
        self.progress(f"recording {nodes} node{'' if nodes == 1 else 's'} into {self.writer.path}")

    def _require_nodes(self) -> None:
        known = {ref.name for ref in self._views if ref.kind == "Node"}
        if missing := sorted(self.wanted.nodes - known):
            raise UsageError(
                f"there is no node {missing[0]!r}", hint="`--node` takes the name of a node of the cluster"
            )
        if not known:
            raise CouldNotRun("there are no nodes to record")

    async def _follow(self, scope: Scope[View]) -> None:
        try:
            await follow(scope, self.objects, self)
            self._unwatched[scope.kind] = "not served"
        except Forbidden as err:
            if scope.kind == "Node":
                hint = "it takes the verbs list and watch; docs/observe.md has the role"
                raise CouldNotRun(f"the nodes may not be watched: {err.message}", hint=hint) from err
            if scope.listed.is_set():
                self._gap(f"{scope}: may not be watched any more")
            self._unwatched[scope.kind] = "not permitted"
            scope.listed.set()

    async def learn(self, told: Collection[View], version: str) -> None:
        """Nothing more: it keeps what is told."""

    def seed(self, projection: View) -> None:
        """See `offbus_steps.watch.follow.Follower`, and so the next ones."""
        self._views[projection.ref] = projection
        if projection.ref.kind == "Node":
            for name, value in projection.fields.items():
                if _is_sign(name, value):
                    self._tell(projection, name, None, value, initial=True)

    def take(self, ref: Ref, now: View | None) -> None:
        """Write what has changed."""
        was = self._views.get(ref)
        if now is None:
            gone = self._views.pop(ref, None)
            if gone is not None:
                self._make.forget(gone)
                if ref.kind != "Event":  # they expire
                    self._tell(gone, EXISTS, gone.fields.get(EXISTS), None)
            return
        self._views[ref] = now
        if was is None and ref.kind == "Pod":
            return
        before = was.fields if was is not None else {}
        for name in dict.fromkeys((*before, *now.fields)):
            if before.get(name) != now.fields.get(name):
                self._tell(now, name, before.get(name), now.fields.get(name))

    def unread(self, what: str, why: str) -> None:
        """It is not recorded. Why stays out: it may quote the object."""
        self.progress(f"{what} cannot be read, so it is not recorded")

    def gone(self, watch: str) -> None:
        """What lay between is not known."""
        self._gap(f"{watch}: the watch was too old")

    def silent(self, watch: str, err: Silent) -> None:
        """What comes next may be as old as the silence."""
        self._gap(f"{watch}: silent for {err.silent_s:.0f} s")

    def blind(self, watch: str, err: Unavailable) -> None:
        """Nothing can be recorded."""
        raise CouldNotRun(f"{watch} cannot be watched any more: {err.message}", hint=err.hint)

    def _gap(self, what: str) -> None:
        self.gaps += 1
        self.progress(f"something may have been missed: {what}")
        self._write(Gap(at=self.seconds, gap=what[:500]))

    def _tell(self, view: View, name: str, was: Value, to: Value, *, initial: bool = False) -> None:
        at = 0.0 if initial else self.seconds
        self.changes += not initial
        self._write(
            Change(at=at, subject=view.subject, node=view.node, field=name, was=was, to=to, initial=initial)
        )
        if not initial and view.ref.kind in TOLD:
            self.progress(f"{at:8.1f} s  {view.subject}: {name}: {_shown(was)} → {_shown(to)}")

    def _write(self, line: Line) -> None:
        if self._early is not None:
            self._early.append(line)
            return
        self.writer.write(line)
        if self.writer.full:
            self.stop("the recording is as large as one may be")


def _is_sign(name: str, value: Value) -> bool:
    """Whether a field of a node at the beginning tells of a responder, or of a cordon."""
    marked = name.startswith((LABEL, ANNOTATION, FINDINGS)) or (name == CORDONED and value is True)
    return marked or (name.startswith(CONDITION) and is_unhealthy(value))


def _shown(value: Value) -> str:
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else value
