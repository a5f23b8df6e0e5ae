"""The maintenance resources by which a responder asks for a reboot or a reset of a node."""

from collections.abc import Callable, Collection

from offbus_steps.cluster.cluster import Cluster
from offbus_steps.nvsentinel.names import MAINTENANCE_KINDS
from offbus_steps.port import Invalid, NotFound
from offbus_steps.watch.projections import MaintenanceProjection, project

__all__ = ["maintenance_of", "remove_maintenance"]


async def maintenance_of(cluster: Cluster, node: str) -> list[str]:
    """The maintenance resources that a responder made for a node, as "Kind/name"."""
    return [str(one.ref) for one in await _listed(cluster, node)]


async def remove_maintenance(
    cluster: Cluster, node: str, *, keep: Collection[str], ours: Callable[[MaintenanceProjection], bool]
) -> list[str]:
    """Delete those of a node that are `ours` and not in `keep`. Returns what was deleted."""
    removed = []
    for one in await _listed(cluster, node):
        if str(one.ref) in keep or not ours(one):
            continue
        try:
            await cluster.port.objects.delete(one.ref)
        except NotFound:
            continue
        removed.append(str(one.ref))
    return sorted(removed)


async def _listed(cluster: Cluster, node: str) -> list[MaintenanceProjection]:
    found = []
    for kind in MAINTENANCE_KINDS:
        try:
            listing = await cluster.port.objects.list(kind, labels="app.kubernetes.io/managed-by=nvsentinel")
        except (NotFound, Invalid):
            continue  # without a janitor the cluster does not have the kind
        projected = (project({**one, "kind": kind}) for one in listing.items)
        found += [one for one in projected if isinstance(one, MaintenanceProjection) and one.node == node]
    return found
