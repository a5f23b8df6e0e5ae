"""The environment `local`: a cluster of processes on this machine, for scenarios.

    environment: {uses: local}                        # the sandbox `default` if it runs, else one for this run alone
    environment: {uses: local, nodes: 4, responder: {drain_delay_s: 2}}

A sandbox of its own lies in the run's folder, is journaled before it is started, and ends when nothing is left to
undo; what it leaves are its logs. A sandbox that `offbus local up` keeps is used and left running.
"""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal

from pydantic import Field

from offbus.environment import Environment, EnvironmentType, Options, RunHandle
from offbus_sandbox.config import SandboxConfig
from offbus_sandbox.responder.config import ResponderConfig
from offbus_steps.safety.guards import ClusterGuards

__all__ = ["LOCAL", "LocalOptions"]


class LocalOptions(Options):
    """What stands beside `uses: local`."""

    sandbox: str = Field(
        default="",
        description="Name of a sandbox that `offbus local up` keeps. Empty: `default` if it runs, else a sandbox for "
        "this run alone.",
    )
    nodes: int = Field(default=3, ge=1, le=64, description="How many nodes.")
    gpus_per_node: int = Field(default=2, ge=0, le=8, description="How many stand-in GPUs each node has.")
    responder: bool | ResponderConfig = Field(
        default=True, description="The stand-in responder: on, off, or on with these settings."
    )
    driver: Literal["standin"] = Field(default="standin", description="Which CUDA driver the pods load.")

    def config(self) -> SandboxConfig:
        """The sandbox that these options ask for."""
        chosen = self.responder
        responder = (ResponderConfig() if chosen else None) if isinstance(chosen, bool) else chosen
        return SandboxConfig(
            nodes=self.nodes, gpus_per_node=self.gpus_per_node, responder=responder, driver=self.driver
        )


class LocalOpener:
    """See `offbus.environment.Opener`. `opening` and `place` do the work; `validate` never imports them."""

    def open(
        self, options: LocalOptions, guards: ClusterGuards, run: RunHandle, *, run_dir: str
    ) -> AbstractAsyncContextManager[Environment]:
        """Use a running sandbox, or start one."""
        from offbus_sandbox.opening import open_local

        return open_local(options, guards, run, run_dir)

    def reopen(
        self, state: Mapping[str, Any], run: RunHandle, *, run_dir: str
    ) -> AbstractAsyncContextManager[Environment]:
        """Reach the sandbox of a run again. The state says where it is, also when the run's folder was moved."""
        from offbus_sandbox.opening import reopen_local

        return reopen_local(state, run, run_dir)

    def identity(self, options: LocalOptions) -> str:
        """Two runs exclude each other in one sandbox; a run's own sandbox is nobody else's."""
        from offbus_sandbox.place import identity

        return identity(options)


LOCAL = EnvironmentType(
    name="local",
    summary="A cluster of processes on this machine: no GPU, container or Kubernetes needed.",
    options=LocalOptions,
    guards=ClusterGuards,
    opener=LocalOpener(),
)
