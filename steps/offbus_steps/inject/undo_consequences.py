"""Clears what the platform did to a node because of a fault, and restores the node's state from before.

In this order, each bounded by `patience`, each only while something remains: wait for the responder to react at all
(its detector may be slower than a short drill; not when no line ever reached the kernel log) and to lift its quarantine
by itself; send its documented clear, the GPU-reset line, through the agent, which writes it only for GPUs that the
node's metadata knows (also to a responder that did not react: it finds both lines when it does); remove what remains in
the order of reference/nvsentinel.md, section 7 (annotations before the cordon, or the responder would take it for a
manual uncordon). Then every label, annotation, taint, condition and the cordon is as before, and read back. A cordon
that the responder does not mark as its own is somebody else's: it stays and is a conflict.
"""

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any, ClassVar, Self

from anyio import move_on_after
from pydantic import Field

from offbus.durations import Duration
from offbus.undo import Undo, UndoContext, UndoResult
from offbus_steps.access import Access, access
from offbus_steps.agents.client import AgentRefused, EffectNotShown, FaultGone
from offbus_steps.cluster.cluster import Cluster, cluster_of
from offbus_steps.inject.maintenance import remove_maintenance
from offbus_steps.nvsentinel import names
from offbus_steps.nvsentinel.names import MAINTENANCE_KINDS
from offbus_steps.port import NotFound, Object, Ref, Unavailable
from offbus_steps.residue.patching import change
from offbus_steps.watch.event_log import World
from offbus_steps.watch.projections import NodeProjection

__all__ = ["ClearConsequences"]

FINAL_STATES = frozenset({names.NodeState.DRAIN_FAILED, "remediation-failed"})
"""States that the responder leaves only after a clear: waiting does not help."""


class ClearConsequences(Undo):
    """The node's state from before the fault, which the undo restores."""

    timeout: ClassVar[timedelta] = timedelta(minutes=4)
    access: ClassVar[frozenset[Access]] = (
        access("get patch", "Node")
        | access("patch", "Node", subresource="status")
        | access("list delete", *MAINTENANCE_KINDS)
    )

    node: str = Field(description="The node.")
    uid: str = Field(description="Its uid.")
    fault: str = Field(description="The fault whose consequences these are.")
    expected: bool = Field(
        description="Whether a responder is expected to answer this fault with a quarantine."
    )
    patience: Duration = Field(description="How long each wait may take.")
    cordoned: bool = Field(description="Whether it was cordoned.")
    labels: dict[str, str] = Field(description="The responder's labels.")
    annotations: dict[str, str] = Field(description="The responder's annotations.")
    taints: tuple[dict[str, Any], ...] = Field(description="All taints.")
    conditions: tuple[dict[str, Any], ...] = Field(description="The responder's conditions.")
    maintenance: tuple[str, ...] = Field(description='Maintenance resources of the node, as "Kind/name".')

    @classmethod
    def before(
        cls, node: Object, *, fault: str, expected: bool, patience: timedelta, maintenance: Iterable[str]
    ) -> Self:
        """The undo that restores the node as it is now."""
        meta, spec = node["metadata"], node.get("spec") or {}
        conditions = (node.get("status") or {}).get("conditions") or ()
        return cls(
            node=meta["name"],
            uid=meta["uid"],
            fault=fault,
            expected=expected,
            patience=patience,
            cordoned=bool(spec.get("unschedulable")),
            labels=names.quarantine_marks(meta.get("labels")),
            annotations=names.quarantine_marks(meta.get("annotations")),
            taints=tuple(dict(one) for one in spec.get("taints") or ()),
            conditions=tuple(dict(one) for one in conditions if names.is_responder_condition(one)),
            maintenance=tuple(sorted(maintenance)),
        )

    def describe(self) -> str:
        return f"clear the consequences of {self.fault} on {self.node}"

    async def undo(self, ctx: UndoContext) -> UndoResult:
        cluster = cluster_of(ctx)
        try:
            found = await cluster.port.objects.get(Ref("Node", self.node))
        except NotFound:
            return UndoResult.nothing("the node is gone")
        if found["metadata"]["uid"] != self.uid:
            return UndoResult.nothing("the node was replaced")
        how = await self._lifted(ctx, cluster)
        node = _projection(cluster.log.world, self.node)
        by_responder = names.cordoned_by_responder(node.labels, node.annotations)
        external = node.cordoned and not self.cordoned and not by_responder
        changed = await self._tidy(cluster, keep_cordon=external)
        if how or changed:
            ctx.recorder.observed(lane="node", subject=f"Node/{self.node}", to="consequences cleared")
        if external:
            return UndoResult.conflict(
                f"{self.node} was cordoned by somebody else than the responder", cleared=changed
            )
        if how or changed:
            return UndoResult.restored(how or "removed the consequences", removed=changed)
        return UndoResult.nothing("there were no consequences")

    async def _lifted(self, ctx: UndoContext, cluster: Cluster) -> str:
        """Get the quarantine lifted, by the responder if possible. Returns how; "" when there was none."""
        awaited = (
            self.expected and self._untouched(cluster.log.world) and await self._may_have_a_line(cluster)
        )
        if awaited and not await self._wait(cluster, lambda world: not self._untouched(world)):
            await self._send_clear(ctx, cluster)
        if self._is_clear(cluster.log.world):
            return "" if self._untouched(cluster.log.world) else "the responder lifted its quarantine"
        await self._wait(
            cluster,
            lambda world: self._is_clear(world) or _projection(world, self.node).state in FINAL_STATES,
        )
        if self._is_clear(cluster.log.world):
            return "the responder lifted its quarantine"
        if await self._send_clear(ctx, cluster) and await self._wait(cluster, self._is_clear):
            return "the responder lifted its quarantine after its clear was sent"
        return "offbus removed the quarantine: the responder did not lift it"

    async def _may_have_a_line(self, cluster: Cluster) -> bool:
        """Whether a line of the fault may be in the kernel log, so that a responder may still react.

        Not when the agent never made the fault, or failed to before it wrote a line. An agent that cannot be asked
        may have written one.
        """
        try:
            fault = await cluster.agents.act(self.node, self.fault, "recover")
        except FaultGone:
            return False
        except (AgentRefused, EffectNotShown, Unavailable):
            return True
        return bool(fault["state"] != "failed" or fault["kernel"] or fault["unread"])

    async def _wait(self, cluster: Cluster, done: Callable[[World], bool]) -> bool:
        with move_on_after(self.patience.total_seconds()):
            await cluster.log.until(lambda world: done(world) or None)
            return True
        return False

    async def _send_clear(self, ctx: UndoContext, cluster: Cluster) -> bool:
        """Have the agent write the responder's documented clear. Returns whether a line was written and read back."""
        try:
            answer = await cluster.agents.act(self.node, self.fault, "clear")
        except (AgentRefused, EffectNotShown, Unavailable) as err:
            answer = {"lines": [], "why": str(err)}
        sent = bool(answer["lines"])
        ctx.recorder.observed(
            lane="responder",
            subject=f"Node/{self.node}",
            to="clear sent" if sent else "clear could not be sent",
            evidence=answer,
        )
        return sent

    def _untouched(self, world: World) -> bool:
        """Whether the responder has changed nothing on the node."""
        node = _projection(world, self.node)
        return (
            node.cordoned == self.cordoned
            and dict(node.labels) == self.labels
            and dict(node.annotations) == self.annotations
            and node.unhealthy == frozenset(names.fault_conditions(self.conditions))
        )

    def _is_clear(self, world: World) -> bool:
        """Whether the responder reports nothing about the node that it did not report before."""
        node = _projection(world, self.node)
        before = frozenset(names.fault_conditions(self.conditions))
        held = names.CORDONED_ANNOTATION in node.annotations
        was_held = names.CORDONED_ANNOTATION in self.annotations
        return node.unhealthy <= before and (was_held or not (held or node.state))

    async def _tidy(self, cluster: Cluster, *, keep_cordon: bool) -> list[str]:
        """Restore everything, in section 7's order. Returns what had to be changed."""
        objects, ref = cluster.port.objects, Ref("Node", self.node)
        start = await objects.get(ref)
        await change(objects, ref, lambda now: self._metadata(now, "annotations"))
        await change(objects, ref, lambda now: self._metadata(now, "labels"))
        removed = await remove_maintenance(cluster, self.node, keep=self.maintenance)
        await change(objects, ref, self._with_conditions, status=True)
        end = await change(objects, ref, lambda now: self._with_spec(now, keep_cordon=keep_cordon))
        return [*_differences(start, end), *removed]

    def _metadata(self, now: Object, what: str) -> Object:
        before = self.annotations if what == "annotations" else self.labels
        others = {
            key: v for key, v in (now["metadata"].get(what) or {}).items() if not names.is_ours_to_clear(key)
        }
        return {**now, "metadata": {**now["metadata"], what: {**others, **before}}}

    def _with_conditions(self, now: Object) -> Object:
        """Remove the responder's unhealthy conditions that are new; its all-clears may stay."""
        status = now.get("status") or {}
        before = {one["type"]: one for one in self.conditions}
        conditions = []
        for one in status.get("conditions") or ():
            held_before = names.fault_conditions([before.get(one["type"], {})])
            if not names.fault_conditions([one]) or held_before:
                conditions.append(one)
            elif one["type"] in before:
                conditions.append(before[one["type"]])
        return {**now, "status": {**status, "conditions": conditions}}

    def _with_spec(self, now: Object, *, keep_cordon: bool) -> Object:
        spec = dict(now.get("spec") or {})
        cordon = bool(spec.get("unschedulable")) if keep_cordon else self.cordoned
        if cordon != bool(spec.get("unschedulable")):
            spec.pop("unschedulable", None)
            spec |= {"unschedulable": True} if cordon else {}
        # Kubernetes' own taints come and go with its conditions; others stay only when they were there before
        taints = [
            one
            for one in spec.get("taints") or ()
            if "node.kubernetes.io/" in one["key"] or dict(one) in self.taints
        ]
        if taints != list(spec.get("taints") or ()):
            spec["taints"] = taints
        return {**now, "spec": spec}


def _projection(world: World, name: str) -> NodeProjection:
    node = world.node(name)
    if node is None:
        raise NotFound(f"Node/{name} is gone")
    return node


def _differences(old: Object, new: Object) -> list[str]:
    """Which parts of a node were changed, for messages; without what its kubelet or others changed meanwhile."""
    found = []
    for what in ("annotations", "labels"):
        before, after = (
            names.quarantine_marks(old["metadata"].get(what)),
            names.quarantine_marks(new["metadata"].get(what)),
        )
        found += [f"{what}[{key}]" for key in sorted({*before, *after}) if before.get(key) != after.get(key)]
    for key in ("unschedulable", "taints"):
        if (old.get("spec") or {}).get(key) != (new.get("spec") or {}).get(key):
            found.append(f"spec.{key}")
    faults = [names.fault_conditions((one.get("status") or {}).get("conditions") or ()) for one in (old, new)]
    if faults[0] != faults[1]:
        found.append("status.conditions")
    return found
