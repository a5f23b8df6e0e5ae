"""Disarms a fault, before all other undos and together with other faults; its evidence is read before that is lost."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar

from pydantic import Field

from offbus.errors import StepError
from offbus.undo import Phase, Undo, UndoContext, UndoResult
from offbus_steps.access import Access, access
from offbus_steps.agents.client import EXPIRED, FaultExpired, FaultGone
from offbus_steps.agents.fault_model import Fault
from offbus_steps.agents.live_faults import MOST_EVENTS, pod_of, record_call
from offbus_steps.cluster.cluster import Cluster, cluster_of
from offbus_steps.node_clock import now_ns
from offbus_steps.object_names import is_fault_of, is_node

__all__ = ["DisarmFault"]


class DisarmFault(Undo):
    """Disarm on the agent, record the evidence, recover (the agent drops the fault), read back."""

    phase: ClassVar[Phase] = Phase.DISARM
    timeout: ClassVar[timedelta] = timedelta(seconds=30)
    access: ClassVar[frozenset[Access]] = access("")

    fault: Fault = Field(description="The fault, as it was requested.")

    def describe(self) -> str:
        return f"disarm fault {self.fault.id} on {self.fault.node}"

    def refusal(self, run: str) -> str | None:
        """What cannot be a fault of this run, or on no node."""
        valid = is_fault_of(run, self.fault.id) and is_node(self.fault.node)
        return None if valid else f"the fault {self.fault.id!r} on {self.fault.node!r}"

    async def undo(self, ctx: UndoContext) -> UndoResult:
        cluster = cluster_of(ctx)
        # First: a renewal that finds the fault dropped would count as a lost lease, and stop the run.
        cluster.leases.release(self.fault.id)
        await cluster.agents.back(self.fault.node)
        try:
            before = await cluster.agents.fault(self.fault.node, self.fault.id)
            after = await cluster.agents.act(self.fault.node, self.fault.id, "disarm")
        except FaultGone:
            return UndoResult.nothing("the agent knows no such fault")
        except FaultExpired:
            after = before
        if before["state"] in EXPIRED:
            cluster.leases.expired(self.fault.node, self.fault.id)
        self._prove(ctx, cluster, after)
        await cluster.agents.act(self.fault.node, self.fault.id, "recover")
        cluster.faults.ended(self.fault.id, now_ns())
        remaining = [
            one for one in await cluster.agents.faults(self.fault.node) if one["id"] == self.fault.id
        ]
        if remaining:
            raise StepError(f"fault {self.fault.id} is still {remaining[0]['state']} on {self.fault.node}")
        ctx.recorder.observed(
            lane="fault", subject=self.fault.id, was=before["state"], to="recovered", tone="good"
        )
        evidence = {"state": before["state"], "counts": after.get("counts", {})}
        if before["state"] in EXPIRED:
            return UndoResult.nothing("its lease had expired: the node had already disarmed it", **evidence)
        return UndoResult.restored("disarmed, read back, dropped by the agent", **evidence)

    def _prove(self, ctx: UndoContext, cluster: Cluster, fault: Mapping[str, Any]) -> None:
        """Record first faulted calls that no follower of this process has recorded."""
        live = cluster.faults.live.get(self.fault.id)
        for call in fault["first_faulted"][:MOST_EVENTS]:
            if live is not None:
                cluster.faults.called(live, call)
            elif pod := pod_of(call, self.fault.pods):
                record_call(ctx.recorder, cluster.clocks, self.fault, call, pod)
