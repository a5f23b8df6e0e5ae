"""The options of the environment `local`."""

from typing import Literal

from pydantic import Field

from offbus.environment import Options
from offbus_sandbox.config import DRIVER_PATTERN, DRIVER_VERSION, SandboxConfig
from offbus_sandbox.responder.config import ResponderConfig
from offbus_sandbox.size import GPUS_PER_NODE, MOST_GPUS_PER_NODE, MOST_NODES, NODES

__all__ = ["LocalOptions"]


class LocalOptions(Options):
    """The settings beside `uses: local`."""

    sandbox: str = Field(
        default="",
        description="Name of a sandbox that `offbus local up` started. Empty: `default` if it runs, else a sandbox "
        "for this run only.",
    )
    nodes: int = Field(default=NODES, ge=1, le=MOST_NODES, description="How many nodes.")
    gpus_per_node: int = Field(
        default=GPUS_PER_NODE,
        ge=0,
        le=MOST_GPUS_PER_NODE,
        description="How many stand-in GPUs each node has.",
    )
    responder: bool | ResponderConfig = Field(
        default=True, description="The stand-in responder: on, off, or on with these settings."
    )
    driver: Literal["standin"] = Field(default="standin", description="The CUDA driver that the pods load.")
    driver_version: str = Field(
        default=DRIVER_VERSION,
        pattern=DRIVER_PATTERN,
        description="What the nodes say of their NVIDIA driver. It decides how NVLink 5 lines (XID 144 to 150) are "
        "written and read: give the version of the nodes that the drill is for.",
    )
    gpu_metadata: bool = Field(
        default=True,
        description="Whether nodes have the metadata file by which NVSentinel's monitor knows their GPUs.",
    )

    def config(self) -> SandboxConfig:
        """The sandbox that these options ask for."""
        chosen = self.responder
        responder = (ResponderConfig() if chosen else None) if isinstance(chosen, bool) else chosen
        return SandboxConfig(
            nodes=self.nodes,
            gpus_per_node=self.gpus_per_node,
            responder=responder,
            driver=self.driver,
            driver_version=self.driver_version,
            gpu_metadata=self.gpu_metadata,
        )
