"""Opens the environment `kubernetes` only to look at it: for `offbus residue`. Nothing in the cluster is changed.

No Lease is taken and no records are written, so also a run's folder from elsewhere leaves nothing in the cluster and
keeps it from nobody. While another run holds the Lease, what differs may be that run's: then nothing is compared.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

from offbus.environment import Environment, RunHandle
from offbus_steps.cluster.cluster import Cluster, open_cluster
from offbus_steps.kubernetes.connect import port_of, unreachable
from offbus_steps.kubernetes.journaled_state import believed
from offbus_steps.kubernetes.kubectl_fixes import kubectl_fix
from offbus_steps.kubernetes.options import KubernetesOptions
from offbus_steps.kubernetes.ownership.run_lease import RunLease, holder_of
from offbus_steps.safety.guards import ClusterGuards

__all__ = ["SeenCluster", "look_again", "look_at"]


class SeenCluster(Cluster):
    """A cluster that knows its fixes (offbus.abilities: SuggestsFixes)."""

    def fix(self, item: str, before: Any) -> str | None:
        """The command that makes an item of the fingerprint as it was (`SuggestsFixes`)."""
        return kubectl_fix(item, before)


@asynccontextmanager
async def look_at(
    options: KubernetesOptions, guards: ClusterGuards, run: RunHandle
) -> AsyncIterator[Environment]:
    """See `offbus.abilities.OnlyLooks`."""
    is_open = False
    async with port_of(options) as port:
        with unreachable(while_opening=lambda: not is_open):
            holder = holder_of(run.run_id, run.epoch)
            await RunLease(
                port.objects, options.agent_namespace, holder
            ).read()  # refuses while it is another run's
            async with open_cluster(port, run, guards, kind=SeenCluster) as cluster:
                is_open = True
                yield cluster


def look_again(
    state: Mapping[str, Any], run: RunHandle, run_dir: Path
) -> AbstractAsyncContextManager[Environment]:
    """The same, as a run's journal says. Raises CouldNotRun when that asks for more than is believed."""
    known = believed(state, run, run_dir)
    return look_at(known.options, known.guards, run)
