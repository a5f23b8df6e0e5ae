"""Who may do what with a fault: the rules of ids, runs, epochs and ended leases.

Job: refuse, with the reason. Pure; it neither reads nor changes the store. An epoch counts a run's owners, so that a
runner that was believed dead cannot change what its successor cleans up.
"""

from offbus_agent.faults.store import StoredFault
from offbus_agent.models import Fault, FaultRequest, LeaseRequest, OwnerRequest, State
from offbus_agent.refusals import Refusal

__all__ = ["left_no_trace", "not_found", "refuse_ended", "refuse_stale", "refuse_stranger", "same"]


def refuse_stale(run: str, epoch: int, newest: int) -> None:
    """Raises Refusal 409 when the run has a later owner than the caller."""
    if epoch < newest:
        raise Refusal(
            409,
            "stale_epoch",
            f"run {run} has an owner of epoch {newest}; this request has epoch {epoch}",
            "stop: another process has taken over the run",
        )


def left_no_trace(known: StoredFault) -> bool:
    """Whether it is an attempt that failed before any line was written: its id may be reused."""
    fault = known.fault
    return fault.state is State.FAILED and not fault.kernel and not fault.unread


def same(known: StoredFault, request: FaultRequest) -> Fault:
    """The known fault, if this is the request that created it (of the same or a later owner).

    Raises Refusal 409 when the id was used for something else.
    """
    if known.phase == "interrupted":
        raise Refusal(
            409,
            "interrupted",
            f"the agent was restarted while it applied fault {request.id}",
            "use another id",
        )
    if known.forgotten:
        how = (
            "failed after its kernel line was written"
            if known.fault.state is State.FAILED
            else "was recovered"
        )
        raise Refusal(409, "id_used", f"fault {request.id} {how}; ids cannot be reused", "use another id")
    if known.request.model_copy(update={"epoch": request.epoch}) != request:
        raise Refusal(
            409,
            "id_used",
            f"fault {request.id} already exists with a different body",
            "use another id, or recover it first",
        )
    return known.fault


def refuse_ended(stored: StoredFault) -> None:
    """Raises Refusal 410 for an expired fault, 409 for one that a restart interrupted."""
    if stored.fault.state is State.EXPIRED:
        raise Refusal(
            410,
            "expired",
            f"the lease of fault {stored.fault.id} has expired, which is final",
            "create a new fault",
        )
    if stored.phase == "interrupted":
        raise Refusal(
            409,
            "interrupted",
            f"the agent was restarted while it applied fault {stored.fault.id}",
            "create a new one",
        )


def refuse_stranger(stored: StoredFault, owner: OwnerRequest | LeaseRequest) -> None:
    """Raises Refusal 409 when the fault belongs to another run."""
    if owner.run != stored.fault.run:
        raise Refusal(
            409,
            "other_run",
            f"fault {stored.fault.id} belongs to run {stored.fault.run}, not to {owner.run}",
            "use the fault's own run",
        )


def not_found(fault: str) -> Refusal:
    """The 404 for a fault that is not (or no longer) on this node."""
    return Refusal(404, "no_such_fault", f"no fault {fault} on this node", "GET /faults lists them")
