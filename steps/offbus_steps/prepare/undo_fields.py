"""Restores the fields that a run set in an object that it did not create.

A uid and the shim's fields are anybody's to read, so a record proves nothing if only a run's folder holds it
(`Cluster.proves`): then an object without the run's label is left as it is, and told with the command that helps.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar, Self

from anyio import move_on_after
from pydantic import Field as Described

from offbus.undo import Undo, UndoContext, UndoResult
from offbus_steps.access import Access, access
from offbus_steps.cluster.cluster import Cluster, cluster_of
from offbus_steps.object_names import unnamed
from offbus_steps.port import NotFound, Object, Ref
from offbus_steps.residue.fingerprint import RUN_LABEL
from offbus_steps.residue.patching import MORE_CHANGED, change, rest_of
from offbus_steps.watch.access import TARGET_ACCESS
from offbus_steps.watch.readiness import rolled_out
from offbus_steps.watch.target_pods import target_pods
from offbus_steps.workloads.fields import Decision, Field, decide, restore
from offbus_steps.workloads.shim_fields import is_shim_field
from offbus_steps.workloads.target import Target
from offbus_steps.workloads.workload_kinds import WORKLOAD_KINDS

__all__ = ["RestoreFields"]

OWN_ROLLOUT_S = 60.0


class RestoreFields(Undo):
    """For each field: our value is restored, the value from before is kept, somebody else's value is a conflict."""

    timeout: ClassVar[timedelta] = timedelta(minutes=4)
    access: ClassVar[frozenset[Access]] = TARGET_ACCESS | access("get patch", *WORKLOAD_KINDS)

    kind: str = Described(description="Kind of the object.")
    name: str = Described(description="Its name.")
    namespace: str = Described(description="Its namespace.")
    uid: str = Described(description="Its uid: an object that replaced it is not touched.")
    fields: tuple[Field, ...] = Described(description="The fields, in the order in which they were set.")
    rollout: Target | None = Described(
        default=None, description="The target to wait for until it is rolled out again."
    )

    @classmethod
    def of(cls, obj: Mapping[str, Any], fields: Sequence[Field], *, rollout: Target | None = None) -> Self:
        """The undo for setting fields in an object as it is now."""
        ref = Ref.of(obj)
        return cls(
            kind=ref.kind,
            name=ref.name,
            namespace=ref.namespace,
            uid=obj["metadata"]["uid"],
            fields=tuple(fields),
            rollout=rollout,
        )

    def describe(self) -> str:
        return f"restore {len(self.fields)} fields of {self._ref}"

    def refusal(self, run: str) -> str | None:
        """A kind that can be no target, a field or value that `prepare_cuda` never sets, another workload's rollout."""
        if self.rollout is not None and (self.rollout.ref != self._ref or self.rollout.unnamed):
            return f"the rollout of {self.rollout}"
        no_shim = next((one for one in self.fields if not is_shim_field(one)), None)
        if no_shim is not None:
            return f"the field {no_shim}, or a value of it"
        return unnamed(WORKLOAD_KINDS, self.kind, self.name, self.namespace)

    async def undo(self, ctx: UndoContext) -> UndoResult:
        cluster = cluster_of(ctx)
        cluster.prepared.discard(self._ref)
        try:
            now = await cluster.port.objects.get(self._ref)
        except NotFound:
            return UndoResult.nothing("the object is gone")
        if now["metadata"]["uid"] != self.uid:
            return UndoResult.nothing("the object was replaced by another of its name")
        ours = [one for one in self.fields if decide(now, one) is Decision.RESTORE]
        if ours and not _is_of(now, ctx.run) and not cluster.proves(self):
            return UndoResult.conflict(self._unproven(ours))
        rest: list[str] = []

        def restored(now: Object) -> dict[str, Any]:
            rest[:] = [rest_of(now)]
            return restore(now, [one for one in self.fields if decide(now, one) is Decision.RESTORE])

        changed = await change(cluster.port.objects, self._ref, restored)
        conflicts = [str(one) for one in self.fields if decide(changed, one) is Decision.CONFLICT]
        more = "" if rest_of(changed) == rest[0] else MORE_CHANGED.format(ref=self._ref)
        await self._rolled_out(cluster, changed, ctx.run, keeps=bool(conflicts or more))
        try:
            end = await cluster.port.objects.get(self._ref)
        except NotFound:
            return UndoResult.nothing("the object is gone")
        return self._result(end, ours, more)

    def _unproven(self, ours: list[Field]) -> str:
        """What is told of fields that only a run's folder calls this run's."""
        return (
            f"nothing in the cluster shows that this run changed {self._ref}: {', '.join(map(str, ours))} left alone; "
            f"if a drill did: kubectl -n {self.namespace} edit {self.kind.lower()}/{self.name}"
        )

    def _result(self, end: Object, ours: list[Field], more: str) -> UndoResult:
        """By the object that was read back once all was over: admission, or an operator, may have set a field again."""
        found = {str(one): decide(end, one) for one in self.fields}
        restored = [str(one) for one in ours if found[str(one)] is Decision.NOTHING]
        again = [name for name, decision in found.items() if decision is Decision.RESTORE]
        conflicts = [name for name, decision in found.items() if decision is Decision.CONFLICT]
        whys = [more] if more else []
        whys += [f"somebody else set {', '.join(again)} again"] if again else []
        whys += [f"somebody else changed {', '.join(conflicts)}"] if conflicts else []
        if whys:
            return UndoResult.conflict("; ".join(whys), restored=restored, conflicts=[*conflicts, *again])
        if restored:
            return UndoResult.restored(f"{len(restored)} fields as before", restored=restored)
        return UndoResult.nothing("all fields are as before")

    async def _rolled_out(self, cluster: Cluster, changed: Object, run: str, *, keeps: bool) -> None:
        """Also when nothing remained to restore: an interrupted undo may have patched already.

        A workload that the run created itself will be deleted: it is waited for, but may be broken. `keeps`: with
        somebody else's change, pods may rightly keep the shim.
        """
        target = self.rollout
        if target is None:
            return
        await cluster.observer.watch_target(target)
        generation = changed["metadata"]["generation"]
        with move_on_after(OWN_ROLLOUT_S if _is_of(changed, run) else None):
            # A lagging status is not enough: the pods have to be without the shim, too.
            await cluster.log.until(
                lambda world: (
                    (
                        rolled_out(world, target, generation)
                        and (keeps or not any(pod.shim for pod in target_pods(world, target)))
                    )
                    or None
                )
            )

    @property
    def _ref(self) -> Ref:
        return Ref(self.kind, self.name, self.namespace)


def _is_of(obj: Object, run: str) -> bool:
    """Whether a run made an object."""
    return bool((obj["metadata"].get("labels") or {}).get(RUN_LABEL) == run)
