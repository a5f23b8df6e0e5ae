"""The permissions of a runner: exactly what installed step types, their undos and an open cluster declare.

Checked before a run changes anything, and generated into deploy/'s roles (there for our own types alone). Step types of
other packages declare their own.
"""

from collections.abc import Iterator
from contextlib import suppress
from functools import cache

from offbus.plugins import STEPS, UNDOS, PluginError, Registry, installed
from offbus_steps.access import Access
from offbus_steps.cluster.cluster import CLUSTER_ACCESS
from offbus_steps.kubernetes.rbac.rights import ADAPTER, Right, rights_of

__all__ = ["OURS", "RUNNER", "declared", "runner_rights"]

RUNNER = "offbus-runner"
OURS = "offbus"
"""The name of our own distribution."""


@cache
def runner_rights(package: str = "") -> tuple[Right, ...]:
    """For all installed types, or for one package's. Raises Invalid for a kind that offbus does not know."""
    registry = installed()
    used = CLUSTER_ACCESS.union(declared(registry, STEPS, package), declared(registry, UNDOS, package))
    return (*rights_of(used), *ADAPTER)


def declared(registry: Registry, group: str, package: str = "") -> Iterator[Access]:
    """What the types of a group (STEPS, UNDOS) access. One that cannot be loaded is reported where it is used."""
    for name in registry.names(group):
        plugin = registry.plugin(group, name)
        if package and (plugin is None or plugin.package != package):
            continue
        with suppress(PluginError):
            found = registry.step_type(name) if group == STEPS else registry.undo_type(name)
            yield from getattr(found, "access", ())
