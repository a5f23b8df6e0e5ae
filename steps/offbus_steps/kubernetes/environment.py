"""The environment `kubernetes`: a real cluster, for scenarios.

environment: {uses: kubernetes}                                    # kubectl's current context
environment: {uses: kubernetes, context: staging, namespace: drill-a}
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from offbus.abilities import UnfinishedRun
from offbus.environment import Environment, EnvironmentType, RunHandle
from offbus.preflight import Intent, PreflightCheck
from offbus_steps.kubernetes.options import KubernetesOptions
from offbus_steps.port import Observed
from offbus_steps.safety.guards import ClusterGuards
from offbus_steps.watch.lanes import LANES

__all__ = ["KUBERNETES"]


class KubernetesOpener:
    """See `offbus.environment.Opener`. The work is in `open`, imported when needed: `validate` never imports it."""

    def open(
        self, options: KubernetesOptions, guards: ClusterGuards, run: RunHandle, *, run_dir: str
    ) -> AbstractAsyncContextManager[Environment]:
        """Connect, check before anything is changed, take the cluster's Lease."""
        from offbus_steps.kubernetes.open import open_kubernetes

        return open_kubernetes(options, guards, run, Path(run_dir))

    def reopen(
        self, state: Mapping[str, Any], run: RunHandle, *, run_dir: str
    ) -> AbstractAsyncContextManager[Environment]:
        """Connect again and take over the Lease, for `recover`."""
        from offbus_steps.kubernetes.open import reopen_kubernetes

        return reopen_kubernetes(state, run, Path(run_dir))

    def look(
        self, options: KubernetesOptions, guards: ClusterGuards, run: RunHandle, *, run_dir: str
    ) -> AbstractAsyncContextManager[Environment]:
        """Connect, and take and store nothing (offbus.abilities.OnlyLooks)."""
        from offbus_steps.kubernetes.look import look_at

        return look_at(options, guards, run)

    def look_again(
        self, state: Mapping[str, Any], run: RunHandle, *, run_dir: str
    ) -> AbstractAsyncContextManager[Environment]:
        """Connect as a run did, and take and store nothing."""
        from offbus_steps.kubernetes.look import look_again

        return look_again(state, run, Path(run_dir))

    def where(self, state: Mapping[str, Any]) -> str:
        """The context, and the namespace of agents and Lease (offbus.abilities.SaysWhere)."""
        from offbus_steps.kubernetes.journaled_state import where

        return where(state)

    def identity(self, options: KubernetesOptions) -> str:
        """The API server's address and the uid of kube-system, which identifies the cluster. Asks the cluster."""
        import anyio

        from offbus_steps.kubernetes.open import cluster_identity

        return anyio.run(cluster_identity, options)

    async def preflight(
        self,
        options: KubernetesOptions,
        guards: ClusterGuards,
        intents: Sequence[Intent],
        run: RunHandle,
        *,
        scenario_dir: str,
    ) -> Sequence[PreflightCheck]:
        """Check before a run (offbus.preflight.RunsPreflight)."""
        from offbus_steps.kubernetes.preflight import preflight_kubernetes

        return await preflight_kubernetes(options, guards, intents, run, scenario_dir)

    async def unfinished_runs(self, options: KubernetesOptions) -> Sequence[UnfinishedRun]:
        """The runs with records or the Lease in the cluster (offbus.abilities.FindsRuns)."""
        from offbus_steps.kubernetes.ownership.unfinished_runs import runs_in_cluster

        return await runs_in_cluster(options)

    def observed(self, options: KubernetesOptions) -> AbstractAsyncContextManager[Observed]:
        """Look at the cluster without a run (offbus_steps.port.Observable)."""
        from offbus_steps.kubernetes.connect import observed_kubernetes

        return observed_kubernetes(options)


KUBERNETES = EnvironmentType(
    name="kubernetes",
    summary="A Kubernetes cluster: your current context, or another one by name.",
    options=KubernetesOptions,
    guards=ClusterGuards,
    opener=KubernetesOpener(),
    lanes=LANES,
)
