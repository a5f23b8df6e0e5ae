"""The maintenance resources by which a responder asks for a reboot or a reset of a node."""

from collections.abc import Callable, Collection

from offbus.errors import StepError
from offbus_steps.cluster.cluster import Cluster
from offbus_steps.nvsentinel.names import MAINTENANCE_KINDS
from offbus_steps.port import Conflict, Invalid, NotFound
from offbus_steps.watch.projections import MaintenanceProjection, project

__all__ = ["maintenance_of", "remove_maintenance"]


async def maintenance_of(cluster: Cluster, node: str) -> list[str]:
    """The maintenance resources that a responder made for a node, as "Kind/name"."""
    return [str(one.ref) for one, _ in await _listed(cluster, node)]


async def remove_maintenance(
    cluster: Cluster, node: str, *, keep: Collection[str], ours: Callable[[MaintenanceProjection], bool]
) -> list[str]:
    """Delete those of a node that are `ours` and not in `keep`.

    Returns what was deleted; raises StepError for what stays.
    """
    removed = []
    for one, uid in await _listed(cluster, node):
        if str(one.ref) in keep or not ours(one):
            continue
        try:
            await cluster.port.objects.delete(one.ref, uid=uid)
        except (NotFound, Conflict):
            continue
        removed.append((str(one.ref), uid))
    now = {(str(one.ref), uid) for one, uid in await _listed(cluster, node)} if removed else set()
    if held := sorted(name for name, uid in removed if (name, uid) in now):
        raise StepError(
            f"{', '.join(held)} is still there after it was deleted",
            hint="a finalizer holds it: check its controller",
        )
    return sorted(name for name, _ in removed)


async def _listed(cluster: Cluster, node: str) -> list[tuple[MaintenanceProjection, str]]:
    """Those of a node, with their uids."""
    found = []
    for kind in MAINTENANCE_KINDS:
        try:
            listing = await cluster.port.objects.list(kind, labels="app.kubernetes.io/managed-by=nvsentinel")
        except (NotFound, Invalid):
            continue  # without a janitor the cluster does not have the kind
        for obj in listing.items:
            one = project({**obj, "kind": kind})
            if isinstance(one, MaintenanceProjection) and one.node == node:
                found.append((one, obj["metadata"]["uid"]))
    return found
