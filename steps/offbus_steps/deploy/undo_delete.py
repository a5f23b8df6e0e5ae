"""Deletes what a run created, and waits until it and its pods are really gone.

Its pods are those that its controllers made (`offbus_steps.watch.owners`): others with its labels go on, and the chain
to each is read before the deletion takes the links away.

The run's label says that an object is the run's. Labels are anybody's to change who may edit the object, and some tools
reset them; so an object without it is never passed over: nobody had that name before the run (`deploy` looks before it
records, and its creation fails when somebody is quicker). It is a conflict, which a person resolves, unless its uid
shows that it is another object, made since. It is not deleted by its uid alone: who may write the records of a run
could have any object of these kinds deleted by that.
"""

from datetime import timedelta
from typing import ClassVar

from pydantic import Field

from offbus.undo import Undo, UndoContext, UndoResult
from offbus_steps.access import Access, access
from offbus_steps.cluster.cluster import Cluster, cluster_of
from offbus_steps.cluster.wait import until_gone
from offbus_steps.deletion import delete
from offbus_steps.object_names import unnamed
from offbus_steps.port import NotFound, Object, Ref
from offbus_steps.residue.fingerprint import RUN_LABEL, without_label
from offbus_steps.watch.access import OWNER_ACCESS
from offbus_steps.watch.target_pods import pods_made_by
from offbus_steps.workloads.manifest import ALLOWED_KINDS
from offbus_steps.workloads.target import Target
from offbus_steps.workloads.workload_kinds import WORKLOAD_KINDS, workload_of

__all__ = ["DeleteObject"]


class DeleteObject(Undo):
    """Delete an object with this run's label; without it, one of that name is a conflict, or another object."""

    timeout: ClassVar[timedelta] = timedelta(minutes=3)
    access: ClassVar[frozenset[Access]] = (
        OWNER_ACCESS | access("get delete watch", *ALLOWED_KINDS) | access("list watch", "Pod")
    )

    kind: str = Field(description="Kind of the object.")
    name: str = Field(description="Its name.")
    namespace: str = Field(default="", description='Its namespace; "" for cluster-scoped kinds.')

    uid: str | None = Field(
        default=None,
        description='What the API server called it; null while nobody knows, "" when the run did not create it.',
    )

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
        meta = found["metadata"]
        owner = (meta.get("labels") or {}).get(RUN_LABEL)
        if owner != ctx.run and self.uid not in (None, meta["uid"]):
            return UndoResult.nothing("it is not this run's: another object has its name now")
        if owner != ctx.run:
            whose = "created by this run" if self.uid else "not there before this run"
            return UndoResult.conflict(without_label(self._ref, owner, ctx.run, whose))
        await self._delete(cluster, found)
        ctx.recorder.observed(lane="workload", subject=str(self._ref), to="deleted", tone="dim")
        return UndoResult.restored("deleted")

    async def _delete(self, cluster: Cluster, found: Object) -> None:
        uid = found["metadata"]["uid"]
        target = Target.of(workload_of(found), port=0) if self.kind in WORKLOAD_KINDS else None
        if target is not None:
            await cluster.observer.watch_pods(target)
        if not await delete(cluster.port.objects, self._ref, uid):
            return  # already deleted; an object that is there now is not this run's
        await until_gone(cluster.port.objects, self._ref, uid)
        if target is not None:
            await cluster.log.until(lambda world: None if pods_made_by(world, target, uid) else True)

    @property
    def _ref(self) -> Ref:
        return Ref(self.kind, self.name, self.namespace)
