"""An injected fault: an output of the steps that inject, and a param of those that observe."""

from pydantic import BaseModel, ConfigDict, Field

from offbus_steps.nvsentinel.cause import Cause

__all__ = ["Fault", "NodeFault"]


class NodeFault(BaseModel):
    """One injected fault, on one node."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    id: str = Field(description="The fault's id on the agent.")
    node: str = Field(description="Where it was injected.")
    nodes: list[str] = Field(
        default_factory=list, description="All nodes that the step faulted, this one among them."
    )
    gpus: list[str] = Field(description="UUIDs of the faulted GPUs.")
    pcis: list[str] = Field(
        default_factory=list, description="Their PCI addresses, as the node's agent spells them."
    )
    xid: int = Field(description="The XID.")
    planes: list[str] = Field(description="Where it shows: kernel, cuda, nvml.")
    actions: list[str] = Field(
        default_factory=list,
        description="What NVSentinel is expected to recommend: one action, or several where it cannot be told which.",
    )
    holders: dict[str, str] = Field(
        description="Which pod held each GPU at the injection, of those that shared it the first: GPU UUID to pod name."
    )
    pods: dict[str, str] = Field(
        default_factory=dict, description="The target's pods on the node at the injection: uid to pod name."
    )
    mark: int = Field(description="Position in the run's observations just before the injection.")
    injected_seq: int = Field(description="Sequence number of the journal event that declared it.")
    injected_ns: int = Field(description="The runner's clock when the agent was asked.")

    @property
    def cause(self) -> Cause:
        """What its consequences are recognised by."""
        return Cause.of(self.xid, self.gpus, self.pcis)

    @property
    def fatal(self) -> bool:
        """Whether a responder is certain to quarantine the node; False where it cannot be told."""
        return bool(self.actions) and "NONE" not in self.actions

    @property
    def cordons(self) -> bool:
        """Whether a responder is expected to quarantine the node: any action except NONE is fatal."""
        return any(action != "NONE" for action in self.actions)


class Fault(NodeFault):
    """One injected fault as later steps take it, with the faults that its step injected on other nodes."""

    others: list[NodeFault] = Field(
        default_factory=list,
        description="The faults of the step's other nodes; set only on the first node's fault.",
    )

    @property
    def every(self) -> tuple[NodeFault, ...]:
        """This one, and the others."""
        return (self, *self.others)
