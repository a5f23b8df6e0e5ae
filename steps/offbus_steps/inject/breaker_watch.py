"""The responder's circuit breaker from a drill's first fault on: what others' cordons add, and its state at the end.

The guard refuses a fault for which there is no room (`ClusterGuards.require_breaker_room`). Nodes that the responder
cordons meanwhile for others' faults use up that room; before the last of it is gone the run stops, which undoes. It is
the cordons that are watched, and not the breaker's state: once that has tripped it is too late. Undo: `CheckBreaker`.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime

from offbus.step import Context
from offbus_steps.cluster.cluster import Cluster
from offbus_steps.inject.undo_breaker import CheckBreaker
from offbus_steps.nvsentinel import names
from offbus_steps.nvsentinel.circuit_breaker import CircuitBreaker, breakers
from offbus_steps.nvsentinel.recent_cordons import gpu_nodes
from offbus_steps.port import Forbidden
from offbus_steps.watch.event_log import World

__all__ = ["watch_breaker"]


@dataclass(frozen=True, slots=True)
class _Room:
    """What is left before one breaker trips; called after every change of the cluster."""

    breaker: CircuitBreaker
    watched: frozenset[str]
    """The nodes that the responder counts."""
    counted: frozenset[str]
    """Those that count since before the fault, and those of this drill."""
    old: frozenset[str]
    """Those that were cordoned already: they count no more unless they are among `counted`."""
    world: World
    abort: Callable[[str], None]

    def __call__(self) -> None:
        counted = self.counted | (_cordoned(self.world) & self.watched - self.old)
        if counted != self.counted and len(counted) >= self.breaker.limit(len(self.watched)):
            others = ", ".join(sorted(counted - self.counted))
            self.abort(
                f"guard responder_breaker: {self.breaker.responder} has cordoned {others}, too, and its circuit "
                f"breaker is about to trip: {self.breaker.rule(len(self.watched))}"
            )


def _cordoned(world: World) -> frozenset[str]:
    """The nodes with a responder's cordon."""
    return frozenset(one.ref.name for one in world.nodes() if names.CORDONED_ANNOTATION in one.annotations)


async def watch_breaker(ctx: Context, cluster: Cluster, nodes: Collection[str]) -> None:
    """Watch the breakers for a fault for which the responder will cordon `nodes`."""
    objects = cluster.port.objects
    try:
        all_of = await breakers(objects, cluster.guards.responder_namespace)
        watched = gpu_nodes((await objects.list("Node")).items)
    except Forbidden:
        return  # the guard allows what cannot be told, and has said so
    found = [one for one in all_of if one.enabled.value and not one.is_tripped]
    if found and not any(live.fault.cordons for live in cluster.faults.live.values()):  # once in a run
        await ctx.undo(CheckBreaker(namespaces=tuple(sorted({one.state.namespace for one in found}))))
    if cluster.guards.responder_breaker == "allow":
        return
    world = cluster.log.world
    all_watched, old = frozenset(one["metadata"]["name"] for one in watched), _cordoned(world)
    for one in found:
        recent = one.counted(watched, datetime.now(UTC))
        counted = frozenset(recent) | (all_watched & set(nodes))
        cluster.observer.check(_Room(one, all_watched, counted, old, world, cluster.run.abort))
