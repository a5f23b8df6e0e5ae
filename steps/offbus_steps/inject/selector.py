"""Where a fault goes, as scenarios state it: nodes by name, label, NVLink domain, count or share; GPUs likewise.

    with: {xid: 79}                                       # the node of the target's first pod, the GPUs it holds
    with: {xid: 79, node: n1, gpus: [0, GPU-5f…]}         # GPUs by index on their node, or by UUID
    with: {xid: 79, node_count: 2, gpu_percent: 50}       # on two of the target's nodes, half of its GPUs there
    with: {xid: 74, nvlink_domain: own, stagger: 5s}      # every node of the target in that domain, one after another

Only nodes with a ready pod of the target that has GPUs count, in the order of the pods' names, so that a scenario means
the same each time. Everything is resolved when the step begins, and refused when the cluster is not as it says.
"""

from datetime import timedelta
from typing import Annotated, Self

from pydantic import Field, model_validator

from offbus.durations import Duration
from offbus.step import FromAncestor, Params
from offbus_steps.workloads.target import Target

__all__ = ["OWN_DOMAIN", "LocationParams"]

OWN_DOMAIN = "own"
ONE_OF = (("node", "nodes"), ("node_count", "node_percent"), ("gpus", "gpu_count", "gpu_percent"))
MANY = ("nodes", "node_label", "nvlink_domain", "node_count", "node_percent")

Percent = Annotated[float, Field(gt=0, le=100)]


class LocationParams(Params):
    """Which nodes and GPUs of the target."""

    target: Annotated[Target | None, FromAncestor("target")] = Field(
        default=None, description="The workload; by default that of the ancestor that outputs one."
    )
    node: str | None = Field(
        default=None,
        description="Default: the node of the target's first ready pod, by name, that requests GPUs.",
    )
    nodes: list[str] | None = Field(default=None, min_length=1, description="Several nodes, by name.")
    node_label: str | None = Field(
        default=None, description='The target\'s nodes with these labels: "key=value,key=value".'
    )
    nvlink_domain: str | None = Field(
        default=None,
        description="The target's nodes of one NVLink domain: its id (label nvidia.com/gpu.clique), or `own` for "
        "that of the target's first pod.",
    )
    node_count: int | None = Field(default=None, ge=1, description="How many of those nodes.")
    node_percent: Percent | None = Field(default=None, description="Which share of those nodes, rounded up.")
    gpus: list[str | int] | None = Field(
        default=None,
        min_length=1,
        description="GPUs by UUID, or by index on their node; default: those of the target's first pod on the node.",
    )
    gpu_count: int | None = Field(
        default=None, ge=1, description="On each node, how many of the GPUs that the target holds there."
    )
    gpu_percent: Percent | None = Field(
        default=None,
        description="On each node, which share of the GPUs that the target holds there, rounded up.",
    )
    stagger: Duration = Field(
        default=timedelta(0), description="Time between one node's fault and the next; 0s: all at once."
    )

    @model_validator(mode="after")
    def _one_selector_each(self) -> Self:
        for names in ONE_OF:
            given = [name for name in names if getattr(self, name) is not None]
            if len(given) > 1:
                raise ValueError(f"set only one of {', '.join(given)}")
        if self.node is not None and self.many:
            raise ValueError("`node` names one node: set it without the other options that choose nodes")
        return self

    @property
    def many(self) -> bool:
        """Whether the node options can choose several."""
        return any(getattr(self, name) is not None for name in MANY)
