"""Whether a fault may go where it was asked to: the guards, for all of its nodes together.

What would be lost is counted as one: every node that a responder is expected to cordon, also those of this run's other
faults that are still armed and may be cordoned any moment; every pod that would be evicted from any of them; every
replica that would be gone. Refused is GuardRefused (exit 3), naming the guard or the shortage; nothing was touched.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from offbus.errors import GuardRefused
from offbus_steps.agents.fault_model import Fault
from offbus_steps.cluster.cluster import Cluster
from offbus_steps.inject.location import Location
from offbus_steps.inject.planes import PAGE_PLANES, Plane
from offbus_steps.port import Ref
from offbus_steps.safety.guards import SYSTEM_NAMESPACES
from offbus_steps.workloads import pods
from offbus_steps.workloads.gpu_fit import without_gpus
from offbus_steps.workloads.target import Target

__all__ = ["require_allowed", "require_evictable", "would_go"]


async def require_allowed(
    cluster: Cluster, xid: int, target: Target, locations: Sequence[Location], planes: Collection[Plane]
) -> bool:
    """Ask the guards; whether a responder is expected to quarantine the nodes."""
    from offbus_agent.catalogue.catalogue import lookup

    cluster.guards.require_namespace(target.namespace)
    entry, world = lookup(xid), cluster.log.world
    nodes = [location.node for location in locations]
    cordons = Plane.KERNEL in planes and entry.cordons
    if cordons or PAGE_PLANES & set(planes):
        faulted = {live.fault.node for live in cluster.faults.live.values() if live.ended_ns is None}
        cluster.guards.require_healthy_elsewhere(world, target, {*nodes, *faulted})
    if not cordons:
        return False
    lost = {*nodes, *_soon_cordoned(cluster)}
    cluster.guards.require_cordon_room(world, lost)
    for node in nodes:
        obj = await cluster.port.objects.get(Ref("Node", node))
        await cluster.guards.require_no_real_remediation(cluster.port.objects, obj, entry.nvsentinel_action)
    await require_evictable(cluster, lost)
    return True


def _soon_cordoned(cluster: Cluster) -> set[str]:
    """Nodes of this run's armed faults that a responder answers with a cordon, whether it has yet or not."""
    live = (one.fault for one in cluster.faults.live.values() if one.ended_ns is None)
    return {fault.node for fault in live if _cordons(fault)}


def _cordons(fault: Fault) -> bool:
    from offbus_agent.catalogue.catalogue import lookup

    return Plane.KERNEL in fault.planes and lookup(fault.xid).cordons


async def require_evictable(cluster: Cluster, nodes: Collection[str]) -> None:
    """Raises GuardRefused when a cordon and drain of the nodes would hurt others or leave pods without a place."""
    everything = [*(await cluster.port.objects.list("Pod")).items]
    going = [pod for pod in everything if (pod.get("spec") or {}).get("nodeName") in nodes and would_go(pod)]
    named = ", ".join(sorted(nodes))
    external = [
        pod
        for pod in going
        if not (cluster.guards.allows_namespace(pod["metadata"]["namespace"]) or _is_reaper(pod))
    ]
    if external:
        raise GuardRefused(
            f"guard namespaces: {named} also runs {_names(external)}, outside {', '.join(cluster.guards.namespaces)}",
            hint="use nodes of the drill's own, or widen guards.namespaces",
        )
    others = [
        one for one in (await cluster.port.objects.list("Node")).items if one["metadata"]["name"] not in nodes
    ]
    missing = without_gpus([pod["spec"] for pod in going], others, [p for p in everything if p not in going])
    if missing:
        raise GuardRefused(
            f"what would be evicted from {named} does not fit elsewhere: missing {', '.join(missing)}",
            hint="free GPUs on other nodes, or scale the target down",
        )


def would_go(pod: Mapping[str, Any]) -> bool:
    """Whether a drain evicts the pod: not a DaemonSet's, not the system's, not a mirror of a static pod."""
    meta = pod["metadata"]
    owners = {one["kind"] for one in meta.get("ownerReferences") or ()}
    mirror = "kubernetes.io/config.mirror" in (meta.get("annotations") or {})
    system = meta["namespace"] in SYSTEM_NAMESPACES
    return not (
        mirror or system or "DaemonSet" in owners or pods.is_finished(pod) or pods.is_terminating(pod)
    )


def _is_reaper(pod: Mapping[str, Any]) -> bool:
    """A reaper that is evicted ends nothing: the next one begins anew (deploy/base/reaper.yaml)."""
    return (pod["metadata"].get("labels") or {}).get("app.kubernetes.io/name") == "offbus-reaper"


def _names(found: Sequence[Mapping[str, Any]]) -> str:
    names = sorted(f"{pod['metadata']['namespace']}/{pod['metadata']['name']}" for pod in found)
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
