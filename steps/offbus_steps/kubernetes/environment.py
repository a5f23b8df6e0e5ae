"""The environment `kubernetes`: a real cluster, for scenarios.

environment: {uses: kubernetes}                                    # kubectl's current context
environment: {uses: kubernetes, context: staging, namespace: drill-a}
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

from pydantic import Field

from offbus.environment import Environment, EnvironmentType, Intent, LeftRun, Options, RunHandle, Sight
from offbus_steps.guards import ClusterGuards

if TYPE_CHECKING:
    from offbus_steps.kubernetes.connection import Login

__all__ = ["KUBERNETES", "KubernetesOptions"]


class KubernetesOptions(Options):
    """What stands beside `uses: kubernetes`."""

    context: str = Field(
        default="",
        description="Context of the kubeconfig. Empty: the current one; in a pod, its service account.",
    )
    namespace: str = Field(
        default="",
        description="The one namespace of the drill, when the credentials have rights in no other. Empty: rights are "
        "asked for in all namespaces.",
    )
    kubeconfig: str = Field(default="", description="Path of a kubeconfig file. Empty: as kubectl finds it.")
    agent_namespace: str = Field(
        default="offbus-system", description="Where the agents, the run's Lease and its records are."
    )
    qps: float = Field(
        default=50,
        gt=0,
        le=1000,
        description="Requests a second to the API server, traffic to the target aside.",
    )
    burst: int = Field(default=100, ge=1, le=2000, description="Requests at once.")
    lease_s: int = Field(
        default=30,
        ge=3,
        le=3600,
        description="For how many seconds the run's Lease lives unrenewed: when its runner is gone for that long, the "
        "reaper finishes the run.",
    )

    def login(self) -> "Login":
        """Which cluster, and as whom."""
        from offbus_steps.kubernetes.connection import Login

        return Login(self.kubeconfig, self.context)


class KubernetesOpener:
    """See `offbus.environment.Opener`. The work is in `opening`, imported when it is needed: `validate` never does."""

    def open(
        self, options: KubernetesOptions, guards: ClusterGuards, run: RunHandle, *, run_dir: str
    ) -> AbstractAsyncContextManager[Environment]:
        """Connect, look before anything is touched, take the cluster's Lease."""
        from offbus_steps.kubernetes.opening import open_kubernetes

        return open_kubernetes(options, guards, run)

    def reopen(
        self, state: Mapping[str, Any], run: RunHandle, *, run_dir: str
    ) -> AbstractAsyncContextManager[Environment]:
        """Connect again and take the Lease over, for `recover`."""
        from offbus_steps.kubernetes.opening import reopen_kubernetes

        return reopen_kubernetes(state, run)

    def identity(self, options: KubernetesOptions) -> str:
        """The API server's address and the uid of kube-system, which is the cluster's own. Asks the cluster."""
        import anyio

        from offbus_steps.kubernetes.opening import cluster_identity

        return anyio.run(cluster_identity, options)

    async def foresee(
        self,
        options: KubernetesOptions,
        guards: ClusterGuards,
        intents: Sequence[Intent],
        run: RunHandle,
        *,
        scenario_dir: str,
    ) -> Sequence[Sight]:
        """Look before a run (offbus.environment.Foresees)."""
        from offbus_steps.kubernetes.foreseeing import foresee_kubernetes

        return await foresee_kubernetes(options, guards, intents, run, scenario_dir)

    async def left_runs(self, options: KubernetesOptions) -> Sequence[LeftRun]:
        """The runs that the cluster keeps records or the Lease of (offbus.environment.FindsRuns)."""
        from offbus_steps.kubernetes.left import runs_left

        return await runs_left(options)


KUBERNETES = EnvironmentType(
    name="kubernetes",
    summary="A Kubernetes cluster: your current context, or the one that you name.",
    options=KubernetesOptions,
    guards=ClusterGuards,
    opener=KubernetesOpener(),
)
