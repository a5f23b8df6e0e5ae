"""The maintenance resources by which a responder asks for a reboot, a reset or a validation of a node."""

from collections.abc import Callable, Collection, Iterable

from offbus.errors import StepError
from offbus_steps.cluster.cluster import Cluster
from offbus_steps.deletion import delete
from offbus_steps.nvsentinel.names import (
    COMPLETE_CONDITION,
    MAINTENANCE_KINDS,
    MANAGED_BY,
    VALIDATION_KIND,
)
from offbus_steps.port import Invalid, NotFound, Object
from offbus_steps.watch.projections import MaintenanceProjection, project
from offbus_steps.watch.scope import MALFORMED

__all__ = ["begun_and_pending", "maintenance_of", "remove_maintenance", "validations_of", "withdraw"]

Repairs = list[tuple[MaintenanceProjection, str]]
"""Resources, with their uids."""


async def maintenance_of(cluster: Cluster, node: str) -> list[str]:
    """The maintenance resources that a responder made for a node, as "Kind/name"."""
    return [str(one.ref) for one, _ in await _listed(cluster, node)]


async def begun_and_pending(
    cluster: Cluster, node: str, ours: Callable[[MaintenanceProjection], bool]
) -> tuple[list[MaintenanceProjection], Repairs]:
    """The repairs of a node that are `ours` and not done: those that have begun, and those that have not."""
    listed = await _listed(cluster, node, COMPLETE_CONDITION)
    open_ones = [(one, uid) for one, uid in listed if ours(one) and not one.done]
    pending = [(one, uid) for one, uid in open_ones if not one.begun]
    return [one for one, _ in open_ones if one.begun], pending


async def validations_of(
    cluster: Cluster, node: str, ours: Callable[[MaintenanceProjection], bool]
) -> Repairs:
    """The validations of a node that are `ours`."""
    return [(one, uid) for one, uid in await _listed(cluster, node, [VALIDATION_KIND]) if ours(one)]


async def remove_maintenance(
    cluster: Cluster, node: str, *, keep: Collection[str], ours: Callable[[MaintenanceProjection], bool]
) -> list[str]:
    """Delete those of a node that are `ours` and not in `keep`.

    Returns what was deleted; raises StepError for what stays.
    """
    found = await _listed(cluster, node)
    removed = await withdraw(
        cluster, [(one, uid) for one, uid in found if str(one.ref) not in keep and ours(one)]
    )
    now = {(str(one.ref), uid) for one, uid in await _listed(cluster, node)} if removed else set()
    if held := sorted(name for name, uid in removed if (name, uid) in now):
        raise StepError(
            f"{', '.join(held)} is still there after it was deleted",
            hint="a finalizer holds it: check its controller",
        )
    return sorted(name for name, _ in removed)


async def withdraw(
    cluster: Cluster, repairs: Iterable[tuple[MaintenanceProjection, str]]
) -> list[tuple[str, str]]:
    """Delete these resources, by uid. Returns those that were there, as "Kind/name" and uid. Raises StepError when one
    may not be deleted."""
    removed = []
    for one, uid in repairs:
        if await delete(cluster.port.objects, one.ref, uid):
            removed.append((str(one.ref), uid))
    return removed


async def _listed(cluster: Cluster, node: str, kinds: Iterable[str] = MAINTENANCE_KINDS) -> Repairs:
    """Those of a node, with their uids."""
    found = []
    for kind in kinds:
        try:
            labels = "" if kind == VALIDATION_KIND else "=".join(MANAGED_BY)
            listing = await cluster.port.objects.list(kind, labels=labels)
        except (NotFound, Invalid):
            continue  # without a janitor the cluster does not have the kind
        for obj in listing.items:
            one = _read({**obj, "kind": kind})
            if one is not None and one.node == node:
                found.append((one, obj["metadata"]["uid"]))
    return found


def _read(obj: Object) -> MaintenanceProjection | None:
    """None for what is no responder's, or cannot be read."""
    try:
        one = project(obj)
    except MALFORMED:
        return None
    return one if isinstance(one, MaintenanceProjection) else None
