"""The rights of the reaper: those of a runner that undos and an open cluster declare to use, and no other.

Generated from `uses` of every installed undo type (offbus_steps.uses), the run's Lease and its records, the agents'
proxy and token. It creates nothing in a drill's namespaces and evicts nobody.
"""

from collections.abc import Iterable

from offbus.plugins import UNDOS, Registry, installed
from offbus_steps.cluster import CLUSTER_USES
from offbus_steps.kubernetes.paths import group_of, resource_of
from offbus_steps.kubernetes.permissions import RIGHTS, Right, Scope
from offbus_steps.uses import Use

__all__ = ["REAPER", "reaper_rights", "undo_uses"]

REAPER = "offbus-reaper"


def undo_uses(registry: Registry) -> dict[str, frozenset[Use]]:
    """What each installed undo type uses, by its name. Raises AttributeError for one that does not say."""
    return {name: registry.undo_type(name).uses for name in registry.names(UNDOS)}  # type: ignore[attr-defined]


def reaper_rights(registry: Registry | None = None) -> list[Right]:
    """In the order of the runner's table. Raises LookupError for a use that the runner itself may not."""
    wanted = CLUSTER_USES.union(*undo_uses(registry or installed()).values())
    found = {right for use in wanted for right in _rights_for(use)}
    return [right for right in RIGHTS if right.scope is Scope.AGENTS or right in found]


def _rights_for(use: Use) -> Iterable[Right]:
    resource = resource_of(use.kind)
    name = resource.plural + (f"/{use.subresource}" if use.subresource else "")
    key = (use.verb, group_of(resource.api_version), name)
    found = [
        right
        for right in RIGHTS
        if right.scope is not Scope.AGENTS and (right.verb, right.group, right.resource) == key
    ]
    if not found:
        raise LookupError(f"{use} is in no right of offbus_steps.kubernetes.permissions")
    return found
