"""Watches the cluster for a run: list, then watch; never by polling.

Every change becomes an `observed` event of the run and a transition in the log, also what differs when a watch had to
list again (`offbus_steps.watch.follow`). A cluster that cannot be watched for a minute cannot be guarded: the run is
stopped. A watch that was silent is told in the timeline.

Until a silent watch is noticed nothing tells it from a quiet one. So before "it did not happen" is believed, by a step
whose time ran out or that something held, `missed_changes` compares what the watches told with what is there.
Only what drills need is watched: nodes always, pods and workloads in the namespaces of targets, and from an injection
on what a responder reports beside its marks on nodes (events, maintenance resources).
"""

from collections.abc import Callable, Collection
from contextlib import suppress
from typing import TYPE_CHECKING

import anyio

from offbus.environment import RunHandle
from offbus.errors import StepError
from offbus_steps.background_tasks import Background
from offbus_steps.nvsentinel import names
from offbus_steps.port import Invalid, Port, Ref, Silent, Unavailable
from offbus_steps.watch.event_log import Observations, Transition
from offbus_steps.watch.follow import follow
from offbus_steps.watch.lookups import Lookups
from offbus_steps.watch.projections import PodProjection, Projection, project
from offbus_steps.watch.scope import Scope
from offbus_steps.watch.transitions import changes

if TYPE_CHECKING:
    from offbus_steps.workloads.target import Target

__all__ = ["Observer"]


class Observer:
    """Watches for a run. Starts its watches in the environment's task group."""

    def __init__(self, port: Port, run: RunHandle, tasks: Background) -> None:
        self.log = Observations()
        self._port = port
        self._run = run
        self._tasks = tasks
        self._scopes: dict[tuple[str, str], Scope[Projection]] = {}
        self._checks: list[Callable[[], None]] = []
        self.lookups = Lookups(port.objects, run, tasks, self.log)

    def check(self, guard: Callable[[], None]) -> None:
        """Call `guard` after every update."""
        self._checks.append(guard)

    async def watch(self, kind: str, namespace: str = "") -> None:
        """Watch a kind, unless it is watched already; returns when it has been listed."""
        scope = self._scopes.get((kind, namespace))
        if scope is None:
            scope = self._scopes[kind, namespace] = Scope(kind, namespace, project)
            self._tasks.start(self._follow, scope, name=f"watch {kind} {namespace}")
        await scope.listed.wait()
        if scope.failed is not None:
            raise StepError(f"the watch of {scope} has ended: {scope.failed}") from scope.failed
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
        await self.watch_pods(target)

    async def watch_pods(self, target: "Target") -> None:
        """Watch its pods, and learn whose they are. It needs OWNER_ACCESS, and to list and watch pods."""
        await self.lookups.add(target)
        await self.watch("Pod", target.namespace)

    async def missed_changes(self) -> str | None:
        """Why something that happened may not have been seen, in words; None when all that is there was told.

        Lists once what is watched. Bounded by the caller.
        """
        found: dict[tuple[str, str], str] = {}

        async def look(scope: Scope[Projection]) -> None:
            why = None if scope.unserved else await scope.missed(self._port.objects)
            if why is not None:
                found[scope.kind, scope.namespace] = why

        async with anyio.create_task_group() as tasks:
            for scope in self._scopes.values():
                tasks.start_soon(look, scope)
        said = [found[key] for key in self._scopes if key in found]
        return "; ".join(filter(None, (*said, self.lookups.missed()))) or None

    async def learn(self, told: Collection[Projection], version: str) -> None:
        """Whose pods these are; see `offbus_steps.watch.follow.Follower`, and so the next ones."""
        await self.lookups.learn(told, version)

    def seed(self, projection: Projection) -> None:
        """The first list."""
        self.log.seed(projection)

    def unread(self, what: str, why: str) -> None:
        """Tell it in the timeline."""
        to = f"cannot be read, so it is passed over: {why}"
        self._run.observed(lane="watch", subject=what, to=to, tone="caution")

    def gone(self, watch: str) -> None:
        """The difference to the known state is observed like any change."""

    def silent(self, watch: str, err: Silent) -> None:
        """Tell it in the timeline."""
        self._run.observed(
            lane="watch",
            subject=watch,
            to=f"silent for {err.silent_s:.0f} s",
            evidence={"silent_s": round(err.silent_s, 1)},
        )

    def blind(self, watch: str, err: Unavailable) -> None:
        """A cluster that cannot be watched cannot be guarded."""
        self._run.abort(f"cannot watch {watch} any more: {err}")

    def take(self, ref: Ref, now: Projection | None) -> None:
        """Record what has changed."""
        was = self.log.world.projections.get(ref)
        if was == now:
            return
        if isinstance(was, PodProjection) and isinstance(now, PodProjection) and was.uid != now.uid:
            self.take(ref, None)  # replaced by another of its name
            was = None
        if isinstance(was, PodProjection) and now is None:
            self.lookups.forget(was)
        order = self.log.mark()
        found: list[Transition] = []
        for change in changes(was, now):
            recorded = self._run.observed(
                lane=_LANES.get(ref.kind, "workload"),
                subject=str(ref),
                was=change.was,
                to=change.to,
                evidence=change.evidence,
                tone=change.tone,
                brief=change.brief,
            )
            found.append(Transition(order, ref, change, recorded.seq, recorded.mono_ns))
        if not self.log.append(ref, was, now, tuple(found)):
            self._run.abort(f"more has changed than the run can hold in memory; the last to change was {ref}")
        for check in self._checks:
            check()

    async def _follow(self, scope: Scope[Projection]) -> None:
        """Who waits for a watch that has ended must not wait for ever."""
        try:
            await follow(scope, self._port.objects, self)
        except Exception as err:
            scope.failed = err
            scope.listed.set()
            raise


_LANES = {
    "Node": "node",
    "Pod": "pod",
    "Event": "responder",
    **dict.fromkeys(names.MAINTENANCE_KINDS, "responder"),
}
