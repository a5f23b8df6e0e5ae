"""What a fault is, once it was injected: an output of the steps that inject, and a param of those that look."""

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Fault", "NodeFault"]


class NodeFault(BaseModel):
    """One injected fault: one node's."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    id: str = Field(description="The agent's name of the fault.")
    node: str = Field(description="Where it was injected.")
    nodes: list[str] = Field(
        default_factory=list, description="All nodes that the step faulted, this one among them."
    )
    gpus: list[str] = Field(description="UUIDs of the faulted GPUs.")
    xid: int = Field(description="The XID.")
    planes: list[str] = Field(description="Where it shows: kernel, cuda, nvml.")
    holders: dict[str, str] = Field(description="Which pod held each GPU at the injection: UUID to pod name.")
    pods: dict[str, str] = Field(
        default_factory=dict, description="The target's pods on the node at the injection: uid to pod name."
    )
    mark: int = Field(description="Place in the run's observations just before the injection.")
    injected_seq: int = Field(description="Event of the journal that declared it.")
    injected_ns: int = Field(description="The runner's clock when the agent was asked.")


class Fault(NodeFault):
    """One injected fault as later steps take it, with those that its step injected on other nodes."""

    others: list[NodeFault] = Field(
        default_factory=list, description="The faults of the step's other nodes; of the first node's alone."
    )

    @property
    def every(self) -> tuple[NodeFault, ...]:
        """This one, and the others."""
        return (self, *self.others)
