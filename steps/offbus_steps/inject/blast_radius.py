"""For which nodes, pods and replicas a fault asks the guards (`safety`), all of its nodes together.

The loss is counted over all of them: every node that a responder is expected to cordon, also those of this run's other
faults that are still armed and may be cordoned any moment; every pod that would be evicted from them; every replica
that would be lost. A refusal is GuardRefused (exit 3), naming the guard or the shortage; nothing was changed.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from offbus.errors import GuardRefused
from offbus_agent.catalogue.plane import PAGE_PLANES, Plane
from offbus_steps.cluster.cluster import Cluster
from offbus_steps.inject.expected import Expected
from offbus_steps.listing import projected
from offbus_steps.nvsentinel.drain_rules import SYSTEM_NAMESPACES, is_left_alone
from offbus_steps.port import Ref
from offbus_steps.workloads import pods
from offbus_steps.workloads.fit import Fleet, shortage
from offbus_steps.workloads.target import Target

__all__ = ["Allowed", "require_allowed", "require_evictable", "would_go"]


@dataclass(frozen=True, slots=True)
class Allowed:
    """What the guards found."""

    cordons: frozenset[str]
    """The nodes that a responder is expected to quarantine."""
    unknown: tuple[str, ...] = ()
    """Pods that would be evicted, and why it cannot be told whether they fit elsewhere."""
    attention: tuple[str, ...] = ()
    """What a guard allows, and a human has to see to."""


async def require_allowed(
    cluster: Cluster, target: Target, expected: Sequence[Expected], planes: Collection[Plane]
) -> Allowed:
    """Check the guards for a fault on the nodes where something is expected of it. Raises GuardRefused."""
    cluster.guards.require_namespace(target.namespace)
    world = cluster.log.world
    armed = [live.fault for live in cluster.faults.live.values() if live.ended_ns is None]
    cordons = frozenset(one.node for one in expected if one.cordons)
    if cordons or PAGE_PLANES & set(planes):
        faulted = {*(one.node for one in expected), *(fault.node for fault in armed)}
        cluster.guards.require_healthy_elsewhere(world, target, faulted)
    if not cordons:
        return Allowed(cordons)
    lost = {*cordons, *(fault.node for fault in armed if fault.cordons)}  # cordoned by now, or any moment
    cluster.guards.require_cordon_room(world, lost)
    attention = await cluster.guards.require_breaker_room(cluster.port.objects, lost)
    for one in expected:
        for action in one.possible:
            await cluster.guards.require_no_real_remediation(cluster.port, one.node, action)
    return Allowed(cordons, await require_evictable(cluster, lost), attention)


async def require_evictable(cluster: Cluster, nodes: Collection[str]) -> tuple[str, ...]:
    """Raises GuardRefused when a drain of the nodes would evict pods of others, or pods that fit on no other node.

    Returns of which pods that cannot be told, and why: a person has to know it.
    """
    everything = await projected(cluster.port.objects, "Pod", pods.lean)
    going = [pod for pod in everything if pod["spec"]["nodeName"] in nodes and would_go(pod)]
    metas = (pod["metadata"] for pod in going)
    cluster.evictable.update(Ref("Pod", one["name"], one["namespace"]) for one in metas)
    named = ", ".join(sorted(nodes))
    external = [
        pod
        for pod in going
        if not cluster.guards.allows_namespace(pod["metadata"]["namespace"])
        # an evicted reaper loses nothing: the next one starts over (deploy/base/reaper.yaml)
        and (pod["metadata"].get("labels") or {}).get("app.kubernetes.io/name") != "offbus-reaper"
    ]
    if external:
        found = sorted(f"{pod['metadata']['namespace']}/{pod['metadata']['name']}" for pod in external)
        pods_named = ", ".join(found[:5]) + (f" and {len(found) - 5} more" if len(found) > 5 else "")
        raise GuardRefused(
            f"guard namespaces: {named} also runs {pods_named}, outside {', '.join(cluster.guards.namespaces)}",
            hint="use nodes that run only the drill's pods, or widen guards.namespaces",
        )
    uids = {pod["metadata"]["uid"] for pod in going}
    staying = [pod for pod in everything if pod["metadata"]["uid"] not in uids]
    room = shortage(going, Fleet((await cluster.port.objects.list("Node")).items, staying, closed=nodes))
    if room.missing:
        missing = ", ".join(room.missing)
        raise GuardRefused(
            f"the pods that would be evicted from {named} do not fit on other nodes: missing {missing}",
            hint="free GPUs on other nodes, or scale the target down",
        )
    return room.unknown


def would_go(pod: Mapping[str, Any]) -> bool:
    """Whether a drain evicts the pod: not those of DaemonSets or system namespaces, nor mirrors of static pods."""
    system = pod["metadata"]["namespace"] in SYSTEM_NAMESPACES
    return not (system or is_left_alone(pod) or pods.is_terminating(pod))
