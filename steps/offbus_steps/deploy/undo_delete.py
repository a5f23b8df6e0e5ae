"""Deletes what a run created, and waits until it and its pods are really gone."""

from datetime import timedelta
from typing import ClassVar

from pydantic import Field

from offbus.undo import Undo, UndoContext, UndoResult
from offbus_steps.access import Access, access
from offbus_steps.cluster.cluster import Cluster, cluster_of
from offbus_steps.cluster.wait import until_gone
from offbus_steps.object_names import unnamed
from offbus_steps.port import Conflict, NotFound, Object, Ref
from offbus_steps.residue.fingerprint import RUN_LABEL
from offbus_steps.watch.target_pods import target_pods
from offbus_steps.workloads.manifest import ALLOWED_KINDS
from offbus_steps.workloads.target import Target
from offbus_steps.workloads.workload_kinds import WORKLOAD_KINDS, workload_of

__all__ = ["DeleteObject"]


class DeleteObject(Undo):
    """Delete an object with this run's label; another object of that name is not touched."""

    timeout: ClassVar[timedelta] = timedelta(minutes=3)
    access: ClassVar[frozenset[Access]] = access("get delete watch", *ALLOWED_KINDS) | access(
        "list watch", "Pod"
    )

    kind: str = Field(description="Kind of the object.")
    name: str = Field(description="Its name.")
    namespace: str = Field(default="", description='Its namespace; "" for cluster-scoped kinds.')

    def describe(self) -> str:
        return f"delete {self._ref}"

    def refusal(self, run: str) -> str | None:
        """A kind that `deploy` never creates, or what can be no name of an object."""
        return unnamed(ALLOWED_KINDS, self.kind, self.name, self.namespace)

    async def undo(self, ctx: UndoContext) -> UndoResult:
        cluster = cluster_of(ctx)
        try:
            found = await cluster.port.objects.get(self._ref)
        except NotFound:
            return UndoResult.nothing("it is gone")
        owner = (found["metadata"].get("labels") or {}).get(RUN_LABEL)
        if owner != ctx.run:
            return UndoResult.nothing(f"it is not this run's ({RUN_LABEL}: {owner})")
        await self._delete(cluster, found)
        ctx.recorder.observed(lane="workload", subject=str(self._ref), to="deleted", tone="dim")
        return UndoResult.restored("deleted")

    async def _delete(self, cluster: Cluster, found: Object) -> None:
        uid = found["metadata"]["uid"]
        try:
            await cluster.port.objects.delete(self._ref, uid=uid)
        except (NotFound, Conflict):
            return  # already deleted; an object that is there now is not this run's
        await until_gone(cluster.port.objects, self._ref, uid)
        if self.kind in WORKLOAD_KINDS:
            target = Target.of(workload_of(found), port=0)
            await cluster.observer.watch("Pod", target.namespace)
            await cluster.log.until(lambda world: None if target_pods(world, target) else True)

    @property
    def _ref(self) -> Ref:
        return Ref(self.kind, self.name, self.namespace)
