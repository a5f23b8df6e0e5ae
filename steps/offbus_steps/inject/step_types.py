"""`inject_fault`, `inject_xid`, `arm_cuda` and their params (XID, lease, patience …): one request to each node's agent.

    - {id: inject, uses: inject_fault, with: {xid: 79, planes: [kernel, cuda, nvml]}}
    - {id: line,   uses: inject_xid,   with: {xid: 94}}
    - {id: arm,    uses: arm_cuda,     with: {xid: 79}}
    - {id: rack,   uses: inject_fault, with: {xid: 74, nvlink_domain: own, stagger: 5s}}

All planes of a node are applied at once under one fault id and one lease. Before the first request the undos are
recorded: what the platform may do to the node, the restart of processes that stay broken, the disarm. After it the
kernel line is read back; for CUDA and NVML the first faulted calls of the target's own processes are recorded as they
happen. offbus_steps.inject.selector describes where a fault goes. This module only declares them;
offbus_steps.inject.inject runs them.
"""

from datetime import timedelta
from typing import Self

from pydantic import Field, field_validator, model_validator

from offbus.durations import Duration
from offbus.errors import StepError
from offbus.step import Kind, Outputs, StepType
from offbus_agent.catalogue.plane import Plane
from offbus_steps.access import access
from offbus_steps.agents.fault_model import Fault
from offbus_steps.inject.fault_options import CallOptions, LineOptions, shown_planes
from offbus_steps.inject.planes import require_showing, usual_planes
from offbus_steps.inject.selector import LocationParams
from offbus_steps.nvsentinel.access import DEPLOYED_ACCESS
from offbus_steps.nvsentinel.names import MAINTENANCE_KINDS
from offbus_steps.watch.access import RESPONSE_ACCESS, TARGET_ACCESS

__all__ = [
    "ARM_CUDA",
    "INJECT_FAULT",
    "INJECT_XID",
    "ArmParams",
    "InjectOutputs",
    "InjectParams",
    "LineParams",
    "XidParams",
]

INJECT_ACCESS = (
    TARGET_ACCESS
    | RESPONSE_ACCESS
    | DEPLOYED_ACCESS
    | access("get list", "Node")
    | access("list", "Pod", everywhere=True)
    | access("get", "Pod")
    | access("list", *MAINTENANCE_KINDS)
)
"""To find the target's pods, what would be evicted, what a responder would do, and what it reports."""


class XidParams(LocationParams):
    """Which fault, and where."""

    xid: int = Field(
        default=79,
        description="The XID, by its number in NVIDIA's catalogue; 0: the line of a GPU that is gone, without an XID.",
    )
    ttl: Duration = Field(
        default=timedelta(seconds=15),
        description="How long the fault stays armed when the runner no longer renews its lease.",
    )
    patience: Duration = Field(
        default=timedelta(seconds=30),
        description="How long the undo waits for the responder, each time, before it tries the next way.",
    )

    @field_validator("xid")
    @classmethod
    def _known(cls, xid: int) -> int:
        from offbus_agent.catalogue.catalogue import UnknownXid, lookup

        try:
            lookup(xid)
        except UnknownXid as err:
            raise ValueError(err.message) from err
        return xid


class LineParams(XidParams, LineOptions):
    """Which fault, where, and how its line starts."""


class ArmParams(XidParams, CallOptions):
    """Which fault, where, and how its calls fail."""


class InjectParams(XidParams, LineOptions, CallOptions):
    """Which fault, where, on which planes, and how it shows."""

    planes: list[Plane] | None = Field(
        default=None,
        min_length=1,
        description="Where it shows: kernel, cuda, nvml. Default: as on real hardware, by the catalogue.",
    )

    @model_validator(mode="after")
    def _showing(self) -> Self:
        try:
            require_showing(self.xid, self.planes or (), shown_planes(self))
        except StepError as err:
            raise ValueError(str(err)) from err
        planes = frozenset(self.planes or usual_planes(self.xid))
        self.require_planes(planes)
        if Plane.KERNEL not in planes and "dialect" in self.model_fields_set:
            raise ValueError("dialect: it is of the kernel log's line, and the fault has none")
        return self


class InjectOutputs(Outputs):
    """The injected faults, one for each node."""

    fault: Fault = Field(
        description="The first node's fault, which holds the others'; later steps take all of them by default."
    )
    node: str = Field(description="Where it was injected.")
    gpus: list[str] = Field(description="UUIDs of the GPUs faulted there.")
    xid: int = Field(description="The XID.")
    pod: str | None = Field(
        default=None,
        description="The pod whose GPUs were faulted; of several, the first; unset when the target's hold none.",
    )
    injected_seq: int = Field(description="Sequence number of the journal event that declared it.")
    faults: list[Fault] = Field(description="The faults of all nodes, including the first.")
    nodes: list[str] = Field(description="All nodes, in the same order.")
    all_gpus: list[str] = Field(description="UUIDs of the faulted GPUs of all nodes.")
    pods: list[str] = Field(description="The target's pods that hold them.")


def _step_type(name: str, summary: str, params: type[XidParams], hooks: str, example: str) -> StepType:
    return StepType(
        name=name,
        kind=Kind.ACTION,
        summary=summary,
        params=params,
        outputs=InjectOutputs,
        run=f"offbus_steps.inject.inject:{name}",
        timeout=timedelta(minutes=2),
        injects=True,
        access=INJECT_ACCESS,
        touches=f"offbus_steps.inject.preflight:touches_{hooks}",
        preflight=f"offbus_steps.inject.preflight:preflight_{hooks}",
        examples=(example,),
    )


INJECT_FAULT = _step_type(
    "inject_fault",
    "Inject one fault on several planes at once: kernel log, CUDA, NVML.",
    InjectParams,
    "fault",
    "{id: inject, uses: inject_fault, with: {xid: 79, planes: [kernel, cuda, nvml]}}",
)
INJECT_XID = _step_type(
    "inject_xid",
    "Write an XID into a node's kernel log: detectors see it, processes are not affected.",
    LineParams,
    "line",
    "{id: line, uses: inject_xid, with: {xid: 94}}",
)
ARM_CUDA = _step_type(
    "arm_cuda",
    "Make the target's CUDA and NVML calls fail as an XID would; detectors see nothing.",
    ArmParams,
    "arm",
    "{id: arm, uses: arm_cuda, with: {xid: 79}}",
)
