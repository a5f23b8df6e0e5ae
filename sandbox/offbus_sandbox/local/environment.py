"""The environment `local`: a cluster of processes on this machine, for scenarios.

    environment: {uses: local}                        # the sandbox `default` if it runs, else one for this run only
    environment: {uses: local, nodes: 4, responder: {drain_delay_s: 2}}

A run's own sandbox is journaled before it starts, and ends when nothing is left to undo; its files, logs among them,
are then in the run's folder. A sandbox that `offbus local up` started is used and left running.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from offbus.environment import Environment, EnvironmentType, RunHandle
from offbus.preflight import Intent, PreflightCheck
from offbus_sandbox.local.options import LocalOptions
from offbus_steps.port import Observed
from offbus_steps.safety.guards import ClusterGuards
from offbus_steps.watch.lanes import LANES

__all__ = ["LOCAL"]


class LocalOpener:
    """See `offbus.environment.Opener`. `open` and `sandbox_choice` do the work; `validate` never imports them."""

    def open(
        self, options: LocalOptions, guards: ClusterGuards, run: RunHandle, *, run_dir: str
    ) -> AbstractAsyncContextManager[Environment]:
        """Use a running sandbox, or start one."""
        from offbus_sandbox.local.open import open_local

        return open_local(options, guards, run, run_dir)

    def reopen(
        self, state: Mapping[str, Any], run: RunHandle, *, run_dir: str
    ) -> AbstractAsyncContextManager[Environment]:
        """Connect to a run's sandbox again. The state holds its location."""
        from offbus_sandbox.local.open import reopen_local

        return reopen_local(state, run, run_dir)

    def look(
        self, options: LocalOptions, guards: ClusterGuards, run: RunHandle, *, run_dir: str
    ) -> AbstractAsyncContextManager[Environment]:
        """Use a running sandbox, or start one that ends afterwards (offbus.abilities.OnlyLooks)."""
        return self.open(options, guards, run, run_dir=run_dir)

    def look_again(
        self, state: Mapping[str, Any], run: RunHandle, *, run_dir: str
    ) -> AbstractAsyncContextManager[Environment]:
        """Connect to a run's sandbox, which ends afterwards if it was started for this."""
        from offbus_sandbox.local.open import look_again

        return look_again(state, run, run_dir)

    def identity(self, options: LocalOptions) -> str:
        """The sandbox's: two runs exclude each other in one sandbox; a run's own sandbox has no other user."""
        from offbus_sandbox.local.sandbox_choice import identity

        return identity(options)

    async def preflight(
        self,
        options: LocalOptions,
        guards: ClusterGuards,
        intents: Sequence[Intent],
        run: RunHandle,
        *,
        scenario_dir: str,
    ) -> Sequence[PreflightCheck]:
        """Say what the responder's settings mean for the drill (offbus.preflight.RunsPreflight)."""
        from offbus_sandbox.local.preflight import preflight_local

        del guards, run, scenario_dir
        return await preflight_local(options, intents)

    def observed(self, options: LocalOptions) -> AbstractAsyncContextManager[Observed]:
        """Look at a running sandbox without a run (offbus_steps.port.Observable)."""
        from offbus_sandbox.local.open import observed_local

        return observed_local(options)


LOCAL = EnvironmentType(
    name="local",
    summary="A cluster of processes on this machine: no GPU, container or Kubernetes needed.",
    options=LocalOptions,
    guards=ClusterGuards,
    opener=LocalOpener(),
    lanes=LANES,
)
