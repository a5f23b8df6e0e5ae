"""A sandbox's configuration, as `offbus local up`, the environment's options and tests set it."""

from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from offbus_sandbox.responder.config import ResponderConfig
from offbus_sandbox.size import GPUS_PER_NODE, MOST_GPUS_PER_NODE, MOST_NODES, NODES

__all__ = ["DRIVER_PATTERN", "DRIVER_VERSION", "Backoff", "SandboxConfig"]

DRIVER_VERSION = "570.133.20"
DRIVER_PATTERN = r"^[0-9]{3}\.[0-9]{1,3}(\.[0-9]{1,3})?$"


class Backoff(BaseModel):
    """How long a container that keeps failing waits: no wait before the first restart, then base, base * 2, …

    The kubelet's own numbers are 10 s, factor 2, 300 s, forgotten after 600 s; a drill on a laptop should not wait
    that long, so the shape is kept and the scale is not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_s: float = Field(default=1.0, gt=0)
    factor: float = Field(default=2.0, ge=1)
    cap_s: float = Field(default=10.0, gt=0)
    forget_after_s: float = Field(default=20.0, gt=0)
    """A container that ran this long starts with a fresh back-off."""


class SandboxConfig(BaseModel):
    """Everything that a supervisor needs to know."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    nodes: int = Field(default=NODES, ge=1, le=MOST_NODES)
    gpus_per_node: int = Field(default=GPUS_PER_NODE, ge=0, le=MOST_GPUS_PER_NODE)
    responder: ResponderConfig | None = ResponderConfig()
    """The stand-in responder's settings; None runs the sandbox without one."""
    driver: Literal["standin"] = "standin"
    """Which CUDA driver pods load."""
    driver_version: str = Field(default=DRIVER_VERSION, pattern=DRIVER_PATTERN)
    """What the nodes say of theirs: it decides how NVLink 5 lines (XID 144 to 150) are written and read."""
    gpu_metadata: bool = True
    """Whether nodes have the file by which NVSentinel's monitor knows their GPUs."""
    agents: bool = True
    """Run a node agent on every node; only tests of the object store turn it off."""
    backoff: Backoff = Backoff()
    probe_period_s: float = Field(default=0.2, gt=0)
    """The longest pause between two probes of a container; a pod may ask for a shorter one."""
    gateway: bool = False
    """Serve the published fault injection API on this machine's loopback; sandboxes that stay up do."""
    gateway_port: int = Field(default=8080, ge=0, le=65535)
    """The port that it takes if it is free; else any other."""
    idle_s: float = Field(default=1800.0, gt=0)
    """Without a client for this long, the sandbox disarms all faults and ends."""
    retained_changes: int = Field(
        default=10_000, ge=1, validation_alias=AliasChoices("retained_changes", "kept_changes")
    )
    """How many changes a watch can resume over (`kept_changes` in a sandbox of 0.1)."""

    @property
    def node_names(self) -> list[str]:
        """The names of the nodes."""
        return [f"node-{number}" for number in range(1, self.nodes + 1)]

    def is_of(self, other: "SandboxConfig") -> bool:
        """Whether a sandbox with the other configuration is the one that this asks for; its gateway aside."""
        gateway = {"gateway": other.gateway, "gateway_port": other.gateway_port}
        return self.model_copy(update=gateway) == other

    def save(self, path: Path) -> None:
        """Write it for a supervisor to read."""
        path.write_text(self.model_dump_json(indent=2) + "\n")

    @classmethod
    def load(cls, path: Path) -> "SandboxConfig":
        """Read what `save` wrote. Raises FileNotFoundError, pydantic.ValidationError."""
        return cls.model_validate_json(path.read_text())
