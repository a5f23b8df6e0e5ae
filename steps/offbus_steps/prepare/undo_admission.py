"""Removes what loaded the shim by admission, and replaces the pods that still have it.

The policy, its binding and the webhook's configuration are called by the run's id and have its label. One that has lost
its label is a conflict, and then no pods are replaced: new ones may get the shim again. Pods that are created just
after the deletion may still be changed by a server that did not know of it
yet: so pods are replaced until none has the shim.

The target is only named in the record: its pods are replaced if it has the run's label, or if not only a run's folder
holds the record (`Cluster.proves`). Else the shim may be anybody's, and its pods are residue, with the command.

Only pods of the target's controllers get it (offbus_steps.prepare.mutating_policy). Others with its labels that have it
all the same are named and left: one that nobody owns would not come back, and whose it is nobody knows. Whether they
are residue the fingerprint tells: it counts pods with the shim before and after.
"""

from datetime import timedelta
from typing import ClassVar

from anyio import move_on_after
from pydantic import Field

from offbus.undo import Undo, UndoContext, UndoResult
from offbus_steps.access import Access, access
from offbus_steps.cluster.cluster import Cluster, cluster_of
from offbus_steps.cluster.wait import until_gone
from offbus_steps.deletion import delete
from offbus_steps.object_names import NAME
from offbus_steps.port import Invalid, NotFound, Ref
from offbus_steps.prepare.admission_kinds import BINDING, POLICY, WEBHOOK, admission_name
from offbus_steps.prepare.replace_pods import replace_pods
from offbus_steps.prepare.undo_fields import OWN_ROLLOUT_S
from offbus_steps.residue.fingerprint import RUN_LABEL, without_label
from offbus_steps.watch.access import TARGET_ACCESS
from offbus_steps.watch.target_pods import target_pods
from offbus_steps.workloads.target import Target
from offbus_steps.workloads.workload_kinds import WORKLOAD_KINDS

__all__ = ["RemoveAdmission"]

NAMED = 5
"""Pods that are named; of others the number."""


class RemoveAdmission(Undo):
    """Delete policy, binding and configuration, then replace the target's pods that have the shim."""

    timeout: ClassVar[timedelta] = timedelta(minutes=6)
    access: ClassVar[frozenset[Access]] = (
        TARGET_ACCESS
        | access("get watch delete", BINDING, POLICY, WEBHOOK)
        | access("get", *WORKLOAD_KINDS)
        | access("get delete", "Pod")
    )

    policy: str = Field(description="Name of the policy, of its binding, and of the webhook's configuration.")
    target: Target = Field(description="The workload whose pods were changed.")

    def describe(self) -> str:
        return f"remove admission by {self.policy} and the shim from the pods of {self.target}"

    def refusal(self, run: str) -> str | None:
        """Objects that are not called as this run's are (`admission_name`), or pods of what can be no target."""
        if not self.policy.startswith(admission_name(run, "")) or NAME.fullmatch(self.policy) is None:
            return f"the admission objects {self.policy!r}"
        return self.target.unnamed

    async def undo(self, ctx: UndoContext) -> UndoResult:
        cluster = cluster_of(ctx)
        cluster.prepared.discard(self.target.ref)
        removed: list[str] = []
        stripped: list[str] = []
        for kind in (BINDING, POLICY, WEBHOOK):
            ref = Ref(kind, self.policy)
            try:
                made = await cluster.port.objects.get(ref)
            except (NotFound, Invalid):  # gone, or a cluster that does not serve the kind
                continue
            owner = (made["metadata"].get("labels") or {}).get(RUN_LABEL)
            if owner != ctx.run:
                stripped.append(without_label(ref, owner, ctx.run, "created by this run"))
            elif await delete(cluster.port.objects, ref, made["metadata"]["uid"]):
                await until_gone(cluster.port.objects, ref, made["metadata"]["uid"])
                removed.append(kind)
        if stripped:
            return UndoResult.conflict("; ".join(stripped), removed=removed)
        await cluster.observer.watch_target(self.target)
        try:
            found = await cluster.port.objects.get(self.target.ref)
            labelled = (found["metadata"].get("labels") or {}).get(RUN_LABEL) == ctx.run
            own = labelled
        except NotFound:
            own, labelled = True, False
        if not labelled and not cluster.proves(self) and (why := self._unproven(cluster)):
            return UndoResult.conflict(why, removed=removed)
        replaced: int | None = None
        # the run's own workload will be deleted, and may be broken
        with move_on_after(OWN_ROLLOUT_S if own else None):
            replaced = await replace_pods(cluster, self.target, lambda pod: pod.shim, lambda _: None)
        others = self._others(cluster)
        if replaced is None:
            detail = f"admission removed; pods were not replaced within {OWN_ROLLOUT_S:g} s, their workload is deleted"
            return UndoResult.restored(detail + others, removed=removed)
        if removed or replaced:
            return UndoResult.restored(
                f"admission removed, {replaced} pods replaced{others}", removed=removed
            )
        return UndoResult.nothing(f"admission and shim are gone{others}")

    def _unproven(self, cluster: Cluster) -> str:
        """What is told of pods with the shim that only a run's folder calls this run's; "" when there are none."""
        pods = sorted(
            pod.ref.name for pod in target_pods(cluster.log.world, self.target) if pod.active and pod.shim
        )
        if not pods:
            return ""
        return (
            f"nothing in the cluster shows that this run changed {self.target}: {len(pods)} pods that have the shim "
            f"are left alone; if a drill did: kubectl -n {self.target.namespace} delete pod {' '.join(pods)}"
        )

    def _others(self, cluster: Cluster) -> str:
        """What is added about pods of others with the target's labels that have the shim."""
        world = cluster.log.world
        if world.workload(self.target.ref) is None:
            return ""
        own = {pod.uid for pod in target_pods(world, self.target)}
        named = sorted(
            pod.ref.name
            for pod in world.pods(self.target.namespace)
            if pod.shim and pod.active and pod.uid not in own and self.target.selects(pod.labels)
        )
        more = f" and {len(named) - NAMED} more" if named[NAMED:] else ""
        whose = f"none of its pods, but its labels and the shim: {', '.join(named[:NAMED])}{more}"
        return f"; {whose}: whoever made them has to replace them" if named else ""
