"""Restarts faulted processes that still run: a CUDA context may stay broken after the fault is gone.

Only pods that held a faulted GPU at the injection are restarted, on the fault's node, with the shim that makes
processes fail, and only while they run the same process: a pod that was replaced or whose container has restarted since
is not affected. The pod is deleted (uid precondition), and its workload creates another one.
"""

from datetime import timedelta
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from offbus.undo import Undo, UndoContext, UndoResult
from offbus_steps.access import Access, access
from offbus_steps.agents.client import FaultGone
from offbus_steps.cluster.cluster import Cluster, cluster_of
from offbus_steps.cluster.wait import until_gone
from offbus_steps.deletion import delete
from offbus_steps.object_names import is_fault_of, is_node, unnamed
from offbus_steps.port import Ref
from offbus_steps.watch.projections import PodProjection

__all__ = ["Holder", "RestartFaulted"]


class Holder(BaseModel):
    """A pod that held faulted GPUs at the injection."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    name: str = Field(description="The pod.")
    namespace: str = Field(description="Its namespace.")
    uid: str = Field(description="Its uid.")
    restarts: int = Field(description="How often its containers that hold GPUs had restarted.")

    @property
    def ref(self) -> Ref:
        """The pod."""
        return Ref("Pod", self.name, self.namespace)


class RestartFaulted(Undo):
    """Delete the pods whose process was faulted and still runs."""

    timeout: ClassVar[timedelta] = timedelta(minutes=2)
    access: ClassVar[frozenset[Access]] = access("get list watch delete", "Pod")

    node: str = Field(description="The node of the fault.")
    fault: str = Field(description="Its id on the agent.")
    holders: tuple[Holder, ...] = Field(description="The pods that held its GPUs.")

    def describe(self) -> str:
        pods = ", ".join(str(one.ref) for one in self.holders) or "no pod"
        return f"restart processes faulted by {self.fault} that still run ({pods})"

    def refusal(self, run: str) -> str | None:
        """What cannot be a fault of this run, or a pod on no node."""
        if not (is_fault_of(run, self.fault) and is_node(self.node)):
            return f"the fault {self.fault!r} on {self.node!r}"
        refs = (one.ref for one in self.holders)
        return next(
            filter(None, (unnamed(("Pod",), ref.kind, ref.name, ref.namespace) for ref in refs)), None
        )

    async def undo(self, ctx: UndoContext) -> UndoResult:
        cluster = cluster_of(ctx)
        faulted = await self._faulted(cluster)
        restarted = []
        for holder in self.holders:
            if not faulted or not await self._is_same_process(cluster, holder):
                continue
            if await delete(cluster.port.objects, holder.ref, holder.uid):
                await until_gone(cluster.port.objects, holder.ref, holder.uid)
            restarted.append(holder.name)  # also one that went by itself
        if restarted:
            return UndoResult.restored(f"restarted {', '.join(restarted)}", pods=restarted)
        return UndoResult.nothing("no faulted process still runs", faulted=faulted)

    async def _faulted(self, cluster: Cluster) -> int:
        """How many processes were faulted. A repeated recover returns the fault as it was."""
        await cluster.agents.back(self.node)
        try:
            fault = await cluster.agents.act(self.node, self.fault, "recover")
        except FaultGone:
            return 0
        return sum(bool(one["faulted"]) for one in fault["processes"])

    async def _is_same_process(self, cluster: Cluster, holder: Holder) -> bool:
        await cluster.observer.watch("Pod", holder.namespace)
        pod = cluster.log.world.projections.get(holder.ref)
        if not isinstance(pod, PodProjection) or not pod.shim or pod.node != self.node:
            return False
        return pod.uid == holder.uid and pod.restarts == holder.restarts and pod.active
