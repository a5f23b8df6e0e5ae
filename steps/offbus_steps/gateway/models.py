"""The published API's shapes, in its words (reference: the fault injection API of ai-dynamo/dynamo), and our own.

What is ours beside it: `expires_at`, `renew`, `planes`. Unknown keys are refused: a misspelt `duration` is no default.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from offbus_agent.catalogue.plane import Plane
from offbus_agent.http.guide_form import Status

__all__ = [
    "FaultList",
    "FaultRecord",
    "FaultResponse",
    "Health",
    "InjectRequest",
    "InjectXidRequest",
    "Recovered",
    "RenewRequest",
    "XidType",
    "XidTypes",
]

NodeName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")]
"""A DNS subdomain, as Kubernetes names nodes."""
GpuId = Annotated[int, Field(ge=0, le=63, description="The GPU's index on its node.")]
Seconds = Annotated[int, Field(ge=1, le=86_400, description="Seconds until it recovers by itself.")]


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", defer_build=True)


class InjectXidRequest(_Shape):
    """`POST /api/v1/faults/gpu/inject/xid-N`."""

    node_name: NodeName
    xid_type: int | None = Field(None, description="If given, the N of the path.")
    gpu_id: GpuId = 0
    duration: Seconds | None = None
    planes: Annotated[list[Plane], Field(min_length=1, max_length=3)] | None = Field(
        None, description="Default: kernel. cuda and nvml need pods that were prepared (docs/prepare.md)."
    )


class InjectRequest(_Shape):
    """`POST /api/v1/faults/gpu/inject`."""

    node_name: NodeName
    fault_type: Literal["xid_error", "throttle", "memory_pressure", "overheat", "compute_overload"]
    duration: Seconds | None = None
    severity: Literal["low", "medium", "high"] = "medium"
    parameters: dict[str, Any] = Field(
        default_factory=dict, description="For xid_error: xid_type, gpu_id, planes."
    )


class RenewRequest(_Shape):
    """`POST /api/v1/faults/{id}/renew`."""

    duration: Seconds | None = Field(None, description="Seconds from now; default: the configured longest.")


class FaultResponse(_Shape):
    """A fault, as who asked for it is answered."""

    fault_id: str
    status: Status
    fault_type: str
    target: str
    injected_at: datetime
    expires_at: datetime = Field(description="When it recovers by itself, unless it is renewed.")
    message: str


class Recovered(_Shape):
    """The answer to a recover, and to a DELETE."""

    fault_id: str
    status: Status
    recovered_at: datetime | None
    message: str


class FaultRecord(_Shape):
    """A fault, as lists have it."""

    id: str
    type: str
    target: str
    status: Status
    created_at: datetime
    injected_at: datetime | None = None
    expires_at: datetime | None = None
    recovered_at: datetime | None = None
    details: dict[str, Any] = Field(
        default_factory=dict,
        description="The workload, the planes, the run's folder, what became of it, and what is left (`residue`).",
    )


class FaultList(_Shape):
    """All faults that are known, the oldest first."""

    faults: list[FaultRecord]
    count: int


class XidType(_Shape):
    """An XID that can be injected."""

    code: int
    name: str
    severity: str
    description: str


class XidTypes(_Shape):
    """All XIDs that can be injected."""

    xid_types: list[XidType]


class Health(_Shape):
    """The gateway serves."""

    status: Literal["healthy"] = "healthy"
    service: Literal["fault-injection-api"] = "fault-injection-api"
    timestamp: datetime
    version: str
    environment: str
    tokenless: bool = Field(description="Whether calls without a token are served: a trusted network.")
