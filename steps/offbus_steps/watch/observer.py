"""Watches the cluster for a run: list, then watch; never by polling.

Every change becomes an `observed` event of the run and a transition in the log. A watch that is Gone lists again (the
difference to the known state is observed like any change); one that is Unavailable resumes where it stopped, with a
growing pause. A cluster that cannot be watched for a minute cannot be guarded: the run is stopped.
Only what drills need is watched: nodes always, pods and workloads in the namespaces of targets, and from an injection
on what a responder reports beside its marks on nodes (events, maintenance resources).
"""

from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio

from offbus.environment import RunHandle
from offbus_steps.background_tasks import Background
from offbus_steps.nvsentinel import names
from offbus_steps.port import Gone, Invalid, NotFound, ObjectList, Port, Ref, Unavailable, WatchType
from offbus_steps.watch.event_log import Observations, Transition
from offbus_steps.watch.projections import PodProjection, Projection, project
from offbus_steps.watch.transitions import Change, changes

if TYPE_CHECKING:
    from offbus_steps.workloads.target import Target

__all__ = ["Observer"]

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0
BLIND_AFTER = 60.0
"""Seconds without the server after which a watch counts as lost. Mere silence does not count."""


_Lists = Callable[..., AsyncIterator[ObjectList]]


@dataclass(slots=True)
class _Scope:
    """One watch: a kind, in a namespace ("" for all)."""

    kind: str
    namespace: str
    listed: anyio.Event = field(default_factory=anyio.Event)
    unserved: bool = False
    version: str = ""
    known: set[Ref] = field(default_factory=set)
    pause: float = FIRST_PAUSE
    lost: float | None = None
    """Since when the server has been unavailable; None while it is not known to be."""


class Observer:
    """Watches for a run. Starts its watches in the environment's task group."""

    def __init__(self, port: Port, run: RunHandle, tasks: Background) -> None:
        self.log = Observations()
        self._port = port
        self._run = run
        self._tasks = tasks
        self._scopes: dict[tuple[str, str], _Scope] = {}
        self._checks: list[Callable[[], None]] = []

    def check(self, guard: Callable[[], None]) -> None:
        """Call `guard` after every update."""
        self._checks.append(guard)

    async def watch(self, kind: str, namespace: str = "") -> None:
        """Watch a kind, unless it is watched already; returns when it has been listed."""
        scope = self._scopes.get((kind, namespace))
        if scope is None:
            scope = self._scopes[kind, namespace] = _Scope(kind, namespace)
            self._tasks.start(self._go_on, scope, name=f"watch {kind} {namespace}")
        await scope.listed.wait()
        if scope.unserved:
            raise Invalid(
                f"the cluster does not serve {kind}", hint="install its operator, or use another target"
            )

    async def watch_responses(self) -> None:
        """Watch what a responder reports beside its marks on nodes; kinds that are not served are skipped.

        It needs RESPONSE_ACCESS (offbus_steps.watch.access).
        """
        for kind, namespace in (
            ("Event", names.REPORTS_NAMESPACE),
            *((kind, "") for kind in names.COMPLETE_CONDITION),
        ):
            with suppress(Invalid):
                await self.watch(kind, namespace)

    async def watch_target(self, target: "Target") -> None:
        """Watch everything that belongs to a target. It needs TARGET_ACCESS (offbus_steps.watch.access)."""
        await self.watch(target.kind, target.namespace)
        await self.watch("Pod", target.namespace)

    async def _go_on(self, scope: _Scope) -> None:
        while not scope.unserved:
            began = anyio.current_time()
            try:
                await self._list(scope)
                await self._follow(scope)
            except Gone:
                scope.version = ""
            except (NotFound, Invalid):
                scope.unserved = True
                scope.listed.set()
            except Unavailable as err:
                await self._rest(scope, err, began)

    async def _rest(self, scope: _Scope, err: Unavailable, began: float) -> None:
        now = anyio.current_time()
        lost = now - err.away_s
        if scope.lost is None or lost - began > BLIND_AFTER:
            scope.lost = lost
        if now - scope.lost > BLIND_AFTER:
            self._run.abort(f"cannot watch {scope.kind} objects any more: {err}")
        await anyio.sleep(scope.pause)
        scope.pause = min(scope.pause * 2, LONGEST_PAUSE)

    async def _list(self, scope: _Scope) -> None:
        if scope.version:
            return
        try:
            projections, version = await self._projections(scope, self._port.objects.pages)
        except Gone:  # the continue token expired: once more, in one piece
            projections, version = await self._projections(scope, self._whole)
        for ref in scope.known - projections.keys():
            self._take(scope, ref, None)
        for ref, projection in projections.items():
            if scope.listed.is_set():
                self._take(scope, ref, projection)
            else:
                self.log.seed(projection)
                scope.known.add(ref)
        scope.version = version
        scope.lost, scope.pause = None, FIRST_PAUSE
        scope.listed.set()

    async def _projections(self, scope: _Scope, listed: _Lists) -> tuple[dict[Ref, Projection], str]:
        """The objects' projections, and the version to watch from."""
        projections: dict[Ref, Projection] = {}
        version = ""
        async for page in listed(scope.kind, namespace=scope.namespace):
            # items of lists may lack their kind (Kubernetes leaves it out)
            seen = (project({**obj, "kind": scope.kind}) for obj in page.items)
            projections.update({one.ref: one for one in seen if one is not None})
            version = page.resource_version
        return projections, version

    async def _whole(self, kind: str, *, namespace: str) -> AsyncIterator[ObjectList]:
        yield await self._port.objects.list(kind, namespace=namespace)

    async def _follow(self, scope: _Scope) -> None:
        watch = self._port.objects.watch(
            scope.kind, namespace=scope.namespace, resource_version=scope.version
        )
        async for event in watch:
            scope.lost, scope.pause = None, FIRST_PAUSE
            scope.version = event.object["metadata"]["resourceVersion"]
            if event.type is WatchType.BOOKMARK:
                continue
            projection = project({**event.object, "kind": scope.kind})
            if projection is not None:
                gone = event.type is WatchType.DELETED
                self._take(scope, projection.ref, None if gone else projection)

    def _take(self, scope: _Scope, ref: Ref, now: Projection | None) -> None:
        was = self.log.world.projections.get(ref)
        if was == now:
            return
        if isinstance(was, PodProjection) and isinstance(now, PodProjection) and was.uid != now.uid:
            self._take(scope, ref, None)  # replaced by another of its name
            was = None
        (scope.known.discard if now is None else scope.known.add)(ref)
        order = self.log.mark()
        found = tuple(self._record(order, ref, change) for change in changes(was, now))
        self.log.append(ref, was, now, found)
        for check in self._checks:
            check()

    def _record(self, order: int, ref: Ref, change: Change) -> Transition:
        recorded = self._run.observed(
            lane=_LANES.get(ref.kind, "workload"),
            subject=str(ref),
            was=change.was,
            to=change.to,
            evidence=change.evidence,
        )
        return Transition(order, ref, change, recorded.seq, recorded.mono_ns)


_LANES = {
    "Node": "node",
    "Pod": "pod",
    "Event": "responder",
    **dict.fromkeys(names.COMPLETE_CONDITION, "responder"),
}
