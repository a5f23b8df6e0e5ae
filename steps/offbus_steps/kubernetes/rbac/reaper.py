"""The permissions of the reaper: exactly what undos and an open cluster declare.

Generated from `access` of the installed undo types (offbus_steps.access), the run's Lease and its records, the agents'
proxy and token. It creates nothing in a drill's namespaces and evicts no pods.
"""

from functools import cache

from offbus.plugins import UNDOS, installed
from offbus_steps.cluster.cluster import CLUSTER_ACCESS
from offbus_steps.kubernetes.rbac.rights import ADAPTER, Right, Scope, rights_of
from offbus_steps.kubernetes.rbac.runner import declared

__all__ = ["REAPER", "reaper_rights"]

REAPER = "offbus-reaper"


@cache
def reaper_rights(package: str = "") -> tuple[Right, ...]:
    """For all installed undo types, or for one package's. Raises Invalid for a kind that offbus does not know."""
    used = CLUSTER_ACCESS.union(declared(installed(), UNDOS, package))
    own = (right for right in ADAPTER if right.scope is Scope.AGENTS)
    return (*rights_of(used), *own, Right("watch", "", "configmaps", Scope.AGENTS))
