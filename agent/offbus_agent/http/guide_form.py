"""The published guides' form of a fault: `fault_id`, `status`, `fault_type`, `target`, `injected_at`, in their words.

Job: shapes, and translation from a fault of ours. Times are RFC 3339, in UTC, from the node's clock now: the fault
itself knows CLOCK_BOOTTIME alone. The guides' service says `injected` for a fault that is live and `recovered` for one
that is not; a fault whose plane did not show it is `failed`.
"""

from datetime import UTC, datetime, timedelta
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from offbus_agent.lease_time import boottime_ns
from offbus_agent.models import Fault, State

__all__ = ["InjectedXid", "Status", "fault_type", "injected", "target_of"]

Status = Literal["pending", "injected", "recovering", "recovered", "failed"]

_STATUS: dict[State, Status] = {
    State.ARMED: "injected",
    State.DISARMED: "recovered",
    State.EXPIRED: "recovered",
    State.FAILED: "failed",
}


class InjectedXid(BaseModel):
    """What the guides' `POST /inject-xid` answers, and until when the fault lives."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    fault_id: str
    status: Status
    fault_type: str = Field(description="gpu_xid_79, for XID 79.")
    target: str = Field(description="NODE/gpuINDEX")
    injected_at: datetime
    expires_at: datetime = Field(description="When it is recovered without a request.")
    message: str
    node: str
    xid_type: int
    gpu_id: int
    timestamp: datetime


def fault_type(xid: int) -> str:
    """As the guides name it."""
    return f"gpu_xid_{xid}"


def target_of(node: str, gpu_id: int) -> str:
    """As the guides name it."""
    return f"{node}/gpu{gpu_id}"


def injected(fault: Fault, node: str, gpu_id: int) -> InjectedXid:
    """The answer about a fault of the node."""
    now, now_ns = datetime.now(UTC), boottime_ns()

    def at(ns: int) -> datetime:
        return now + timedelta(microseconds=(ns - now_ns) // 1000)

    lines = "; ".join(entry.line for entry in fault.kernel)
    return InjectedXid(
        fault_id=fault.id,
        status=_STATUS[fault.state],
        fault_type=fault_type(fault.xid),
        target=target_of(node, gpu_id),
        injected_at=at(fault.armed_ns or fault.created_ns),
        expires_at=at(fault.expires_ns),
        message=f"XID {fault.xid} ({fault.mnemonic}) read back from the kernel log: {lines}",
        node=node,
        xid_type=fault.xid,
        gpu_id=gpu_id,
        timestamp=now,
    )
