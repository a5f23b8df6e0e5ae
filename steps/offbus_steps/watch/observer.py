"""Watches the cluster for a run: list, then watch; never by polling.

Every change becomes an `observed` event of the run and a transition in the log. A watch that is Gone lists again (the
difference to the known state is observed like any change); one that is Unavailable resumes where it stopped, with a
growing pause. A cluster that cannot be watched for a minute cannot be guarded: the run is stopped. A watch that was
Silent is told in the timeline and resumed where it stopped: what is told next may be as old as the silence was long.

Until a silent watch is noticed nothing tells it from a quiet one. So before "it did not happen" is believed, by a step
whose time ran out or that something held, `missed_changes` compares what the watches told with what is there.
Only what drills need is watched: nodes always, pods and workloads in the namespaces of targets, and from an injection
on what a responder reports beside its marks on nodes (events, maintenance resources).
"""

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import anyio

from offbus.environment import RunHandle
from offbus_steps.background_tasks import Background
from offbus_steps.nvsentinel import names
from offbus_steps.port import (
    Gone,
    Invalid,
    NotFound,
    Port,
    Ref,
    Silent,
    Unavailable,
    WatchType,
)
from offbus_steps.watch.event_log import Observations, Transition
from offbus_steps.watch.projections import PodProjection, Projection, project
from offbus_steps.watch.scope import Scope
from offbus_steps.watch.transitions import changes

if TYPE_CHECKING:
    from offbus_steps.workloads.target import Target

__all__ = ["Observer"]

LONGEST_PAUSE = 5.0
BLIND_AFTER = 60.0
"""Seconds without the server after which a watch counts as lost. Mere silence does not count."""


class Observer:
    """Watches for a run. Starts its watches in the environment's task group."""

    def __init__(self, port: Port, run: RunHandle, tasks: Background) -> None:
        self.log = Observations()
        self._port = port
        self._run = run
        self._tasks = tasks
        self._scopes: dict[tuple[str, str], Scope] = {}
        self._checks: list[Callable[[], None]] = []

    def check(self, guard: Callable[[], None]) -> None:
        """Call `guard` after every update."""
        self._checks.append(guard)

    async def watch(self, kind: str, namespace: str = "") -> None:
        """Watch a kind, unless it is watched already; returns when it has been listed."""
        scope = self._scopes.get((kind, namespace))
        if scope is None:
            scope = self._scopes[kind, namespace] = Scope(kind, namespace)
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
            *((kind, "") for kind in names.MAINTENANCE_KINDS),
        ):
            with suppress(Invalid):
                await self.watch(kind, namespace)

    async def watch_target(self, target: "Target") -> None:
        """Watch everything that belongs to a target. It needs TARGET_ACCESS (offbus_steps.watch.access)."""
        await self.watch(target.kind, target.namespace)
        await self.watch("Pod", target.namespace)

    async def missed_changes(self) -> str | None:
        """Why something that happened may not have been seen, in words; None when all that is there was told.

        Lists once what is watched. Bounded by the caller.
        """
        found: dict[tuple[str, str], str] = {}

        async def look(scope: Scope) -> None:
            why = None if scope.unserved else await scope.missed(self._port.objects)
            if why is not None:
                found[scope.kind, scope.namespace] = why

        async with anyio.create_task_group() as tasks:
            for scope in self._scopes.values():
                tasks.start_soon(look, scope)
        return "; ".join(found[key] for key in self._scopes if key in found) or None

    async def _go_on(self, scope: Scope) -> None:
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
            except Silent as err:
                self._run.observed(
                    lane="watch",
                    subject=str(scope),
                    to=f"silent for {err.silent_s:.0f} s",
                    evidence={"silent_s": round(err.silent_s, 1)},
                )
            except Unavailable as err:
                now = anyio.current_time()
                lost = now - err.away_s
                if scope.lost is None or lost - began > BLIND_AFTER:
                    scope.lost = lost
                if now - scope.lost > BLIND_AFTER:
                    self._run.abort(f"cannot watch {scope} any more: {err}")
                await anyio.sleep(scope.pause)
                scope.pause = min(scope.pause * 2, LONGEST_PAUSE)

    async def _list(self, scope: Scope) -> None:
        if scope.version:
            return
        listing = await scope.list(self._port.objects)
        for ref in scope.known - listing.projections.keys():
            self._take(scope, ref, None)
        for ref, projection in listing.projections.items():
            if scope.listed.is_set():
                self._take(scope, ref, projection)
            else:
                self.log.seed(projection)
                scope.known.add(ref)
        scope.told(listing.version)
        scope.listed.set()

    async def _follow(self, scope: Scope) -> None:
        watch = self._port.objects.watch(
            scope.kind, namespace=scope.namespace, resource_version=scope.version
        )
        async for event in watch:
            if event.type is not WatchType.BOOKMARK:
                projection = project({**event.object, "kind": scope.kind})
                if projection is not None:
                    gone = event.type is WatchType.DELETED
                    self._take(scope, projection.ref, None if gone else projection)
            scope.told(event.object["metadata"]["resourceVersion"])

    def _take(self, scope: Scope, ref: Ref, now: Projection | None) -> None:
        was = self.log.world.projections.get(ref)
        if was == now:
            return
        if isinstance(was, PodProjection) and isinstance(now, PodProjection) and was.uid != now.uid:
            self._take(scope, ref, None)  # replaced by another of its name
            was = None
        (scope.known.discard if now is None else scope.known.add)(ref)
        order = self.log.mark()
        found: list[Transition] = []
        for change in changes(was, now):
            recorded = self._run.observed(
                lane=_LANES.get(ref.kind, "workload"),
                subject=str(ref),
                was=change.was,
                to=change.to,
                evidence=change.evidence,
            )
            found.append(Transition(order, ref, change, recorded.seq, recorded.mono_ns))
        self.log.append(ref, was, now, tuple(found))
        for check in self._checks:
            check()


_LANES = {
    "Node": "node",
    "Pod": "pod",
    "Event": "responder",
    **dict.fromkeys(names.MAINTENANCE_KINDS, "responder"),
}
