"""The options of the environment `local`."""

from typing import Literal

from pydantic import Field

from offbus.environment import Options
from offbus_sandbox.config import SandboxConfig
from offbus_sandbox.responder.config import ResponderConfig

__all__ = ["LocalOptions"]


class LocalOptions(Options):
    """The settings beside `uses: local`."""

    sandbox: str = Field(
        default="",
        description="Name of a sandbox that `offbus local up` started. Empty: `default` if it runs, else a sandbox "
        "for this run only.",
    )
    nodes: int = Field(default=3, ge=1, le=64, description="How many nodes.")
    gpus_per_node: int = Field(default=2, ge=0, le=8, description="How many stand-in GPUs each node has.")
    responder: bool | ResponderConfig = Field(
        default=True, description="The stand-in responder: on, off, or on with these settings."
    )
    driver: Literal["standin"] = Field(default="standin", description="The CUDA driver that the pods load.")

    def config(self) -> SandboxConfig:
        """The sandbox that these options ask for."""
        chosen = self.responder
        responder = (ResponderConfig() if chosen else None) if isinstance(chosen, bool) else chosen
        return SandboxConfig(
            nodes=self.nodes, gpus_per_node=self.gpus_per_node, responder=responder, driver=self.driver
        )
