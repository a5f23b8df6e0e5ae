"""`inject_fault`, `inject_xid`, `arm_cuda`: a fault on one node or on several, by one request to each node's agent.

    - {id: inject, uses: inject_fault, with: {xid: 79, planes: [kernel, cuda, nvml]}}
    - {id: line,   uses: inject_xid,   with: {xid: 94}}
    - {id: arm,    uses: arm_cuda,     with: {xid: 79}}
    - {id: rack,   uses: inject_fault, with: {xid: 74, nvlink_domain: own, stagger: 5s}}

All planes of a node are applied at once under one fault id and one lease. Before the first request the undos are
recorded: what the platform may do to the node, the restart of processes that stay broken, the disarm. After it the
kernel line is read back; for CUDA and NVML the first faulted calls of the target's own processes are recorded as they
happen. Where a fault goes is said in offbus_steps.inject.selector.
"""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, Self

from pydantic import Field, model_validator

from offbus.errors import StepError
from offbus.step import Context, Kind, StepType
from offbus_steps.access import uses
from offbus_steps.inject.inject import InjectOutputs, inject
from offbus_steps.inject.maintenance import MAINTENANCE_KINDS
from offbus_steps.inject.planes import PAGE_PLANES, Plane, require_showing, usual_planes
from offbus_steps.inject.selector import XidParams
from offbus_steps.nvsentinel.deployed import DEPLOYED_USES
from offbus_steps.watch.observer import RESPONSE_USES, TARGET_USES

__all__ = ["ARM_CUDA", "INJECT_FAULT", "INJECT_XID", "InjectParams"]

INJECT_USES = (
    TARGET_USES
    | RESPONSE_USES
    | DEPLOYED_USES
    | uses("get list", "Node")
    | uses("list", "Pod", everywhere=True)
    | uses("get", "Pod")
    | uses("list", *MAINTENANCE_KINDS)
)
"""Who runs where, what would be evicted, what a responder would do, and what it then says."""


class InjectParams(XidParams):
    """Which fault, where, and on which planes."""

    planes: list[Plane] | None = Field(
        default=None,
        min_length=1,
        description="Where it shows: kernel, cuda, nvml. Default: as on real hardware, by the catalogue.",
    )

    @model_validator(mode="after")
    def _showing(self) -> Self:
        try:
            require_showing(self.xid, self.planes or ())
        except StepError as err:
            raise ValueError(str(err)) from err
        return self


async def inject_fault(ctx: Context, params: InjectParams) -> InjectOutputs:
    """One fault on all given planes."""
    planes = params.planes or usual_planes(params.xid)
    return await inject(ctx, params, tuple(dict.fromkeys(planes)))


async def inject_xid(ctx: Context, params: XidParams) -> InjectOutputs:
    """The kernel line alone: what detectors see, while processes work on."""
    return await inject(ctx, params, (Plane.KERNEL,))


async def arm_cuda(ctx: Context, params: XidParams) -> InjectOutputs:
    """The CUDA and NVML planes alone, as far as the XID shows there: processes fail, and no detector is told."""
    planes = tuple(plane for plane in usual_planes(params.xid) if plane in PAGE_PLANES)
    if not planes:
        raise StepError(
            f"XID {params.xid} does not show in CUDA or NVML", hint="use inject_xid, or another XID"
        )
    return await inject(ctx, params, planes)


def _step_type(
    name: str, summary: str, params: type[XidParams], run: Callable[[Any, Any], Awaitable[Any]], example: str
) -> StepType:
    return StepType(
        name=name,
        kind=Kind.ACTION,
        summary=summary,
        params=params,
        outputs=InjectOutputs,
        run=run,
        timeout=timedelta(minutes=2),
        injects=True,
        uses=INJECT_USES,
        examples=(example,),
    )


INJECT_FAULT = _step_type(
    "inject_fault",
    "Inject one fault on several planes at once: kernel log, CUDA, NVML.",
    InjectParams,
    inject_fault,
    "{id: inject, uses: inject_fault, with: {xid: 79, planes: [kernel, cuda, nvml]}}",
)
INJECT_XID = _step_type(
    "inject_xid",
    "Write an XID into a node's kernel log: detectors see it, processes work on.",
    XidParams,
    inject_xid,
    "{id: line, uses: inject_xid, with: {xid: 94}}",
)
ARM_CUDA = _step_type(
    "arm_cuda",
    "Make the target's CUDA and NVML calls fail as an XID would: no detector is told.",
    XidParams,
    arm_cuda,
    "{id: arm, uses: arm_cuda, with: {xid: 79}}",
)
