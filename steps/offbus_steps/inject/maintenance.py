"""The maintenance resources by which a responder asks for a reboot or a reset of a node."""

from collections.abc import Collection

from offbus_steps.cluster.cluster import Cluster
from offbus_steps.nvsentinel.names import MAINTENANCE_KINDS
from offbus_steps.port import Invalid, NotFound, Ref

__all__ = ["maintenance_of", "remove_maintenance"]


async def maintenance_of(cluster: Cluster, node: str) -> list[str]:
    """The maintenance resources that a responder made for a node, as "Kind/name"."""
    found = []
    for kind in MAINTENANCE_KINDS:
        try:
            listing = await cluster.port.objects.list(kind, labels="app.kubernetes.io/managed-by=nvsentinel")
        except (NotFound, Invalid):
            continue  # without a janitor the cluster does not have the kind
        found += [
            f"{kind}/{one['metadata']['name']}"
            for one in listing.items
            if (one.get("spec") or {}).get("nodeName") == node
        ]
    return found


async def remove_maintenance(cluster: Cluster, node: str, *, keep: Collection[str]) -> list[str]:
    """Delete those of a node that are not in `keep`. Returns what was deleted."""
    removed = []
    for name in sorted(set(await maintenance_of(cluster, node)) - set(keep)):
        kind, _, own = name.partition("/")
        try:
            await cluster.port.objects.delete(Ref(kind, own))
        except NotFound:
            continue
        removed.append(name)
    return removed
