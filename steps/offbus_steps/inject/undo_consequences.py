"""Clears what the platform did to a node because of a fault, and restores the node's state from before.

Only what is this fault's own: by its check, error code and GPU (`offbus_steps.nvsentinel.cause`), new since the record.
Another monitor's condition, a quarantine for another fault, a cordon or a taint of somebody else is an external change:
it is not waited for, not touched, and no residue. What is removed, and how, `offbus_steps.inject.node_marks` says.

First the responder has to let go of the node, in its own database too (`offbus_steps.inject.lift_quarantine`): while it
does not, its marks stay where they are, and the result is residue that says what may still happen. Only then what
remains is removed: annotations, labels, maintenance resources, conditions, cordon and taints become as before, and are
read back.

What may be restored is listed in `refusal` (names of the responder's quarantine, its conditions, its maintenance).
Whatever a record says, nothing is changed on a node without a mark of the responder's, a fault that its node's agent
does not know has no consequences there, and what a fault is recognised by is what its agent says: a record, which is
hostile input, counts only while the agent cannot be reached and if not only a run's folder holds it (`Cluster.proves`).
One that does not, or is without a cause (of offbus 0.1.0), waits for the agent.
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, ClassVar, Self

from pydantic import Field

from offbus.durations import Duration
from offbus.undo import Undo, UndoContext, UndoResult
from offbus_steps.access import Access, access
from offbus_steps.agents.client import FaultGone
from offbus_steps.cluster.cluster import Cluster, cluster_of
from offbus_steps.inject.known_fault import cause_of, may_have_a_line, recovered
from offbus_steps.inject.lift_quarantine import KEEP_AWAY, Lift
from offbus_steps.inject.maintenance import begun_and_pending, remove_maintenance
from offbus_steps.inject.node_marks import NodeMarks, differences
from offbus_steps.inject.quarantined_node import QuarantinedNode
from offbus_steps.nvsentinel import names
from offbus_steps.nvsentinel.cause import Cause, Share
from offbus_steps.nvsentinel.findings import applied_taints, taint_text
from offbus_steps.nvsentinel.names import MAINTENANCE_KINDS
from offbus_steps.nvsentinel.settling import settling_time
from offbus_steps.object_names import is_fault_of, is_node
from offbus_steps.port import NotFound, Object, Ref
from offbus_steps.residue.patching import change
from offbus_steps.watch.projections import project_node

__all__ = ["ClearConsequences"]


MAY_ACT = "responder_may_act"
"""In the evidence of an undo: a responder has answered the fault, or may still find its line."""


class ClearConsequences(Undo):
    """The node's state from before the fault, which the undo restores."""

    timeout: ClassVar[timedelta] = timedelta(minutes=4)
    access: ClassVar[frozenset[Access]] = (
        access("get patch", "Node")
        | access("patch", "Node", subresource="status")
        | access("list watch delete", *MAINTENANCE_KINDS)
    )

    node: str = Field(description="The node.")
    uid: str = Field(description="Its uid.")
    fault: str = Field(description="The fault whose consequences these are.")
    cause: Cause | None = Field(
        default=None, description="What they are recognised by; without it, the node's agent is asked."
    )
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
        cls,
        node: Object,
        *,
        fault: str,
        cause: Cause,
        expected: bool,
        patience: timedelta,
        maintenance: Iterable[str],
    ) -> Self:
        """The undo that restores the node as it is now."""
        meta, spec = node["metadata"], node.get("spec") or {}
        conditions = (node.get("status") or {}).get("conditions") or ()
        return cls(
            node=meta["name"],
            uid=meta["uid"],
            fault=fault,
            cause=cause,
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

    def refusal(self, run: str) -> str | None:
        """What cannot be a fault of this run, or on no node; what a responder's quarantine never sets on a node."""
        if not (is_fault_of(run, self.fault) and is_node(self.node)):
            return f"the fault {self.fault!r} on {self.node!r}"
        marks = (("label", self.labels), ("annotation", self.annotations))
        for what, one in ((what, key) for what, found in marks for key in found):
            if not names.is_ours_to_clear(one):
                return f"the {what} {one!r}"
        for condition in self.conditions:
            if not names.is_responder_condition(condition):
                return f"the condition {condition.get('type')!r}"
        kinds = (one.partition("/")[0] for one in self.maintenance)
        return next((f"a {kind}" for kind in kinds if kind not in MAINTENANCE_KINDS), None)

    async def undo(self, ctx: UndoContext) -> UndoResult:
        cluster = cluster_of(ctx)
        try:
            found = await cluster.port.objects.get(Ref("Node", self.node))
        except NotFound:
            return UndoResult.nothing("the node is gone")
        if found["metadata"]["uid"] != self.uid:
            return await self._without_fault(cluster, "the node was replaced")
        try:
            known = await recovered(cluster.agents, self.node, self.fault)
        except FaultGone:
            return await self._without_fault(cluster, f"the agent of {self.node} knows no such fault")
        line, before = may_have_a_line(known), await self._before(cluster, known)
        node = QuarantinedNode(cluster, self.node, self.fault, before)
        lift = Lift(node, ctx.recorder, self.patience, self.maintenance)
        lifted = await lift.lift(may_react=line and self.expected)
        stage: dict[str, Any] = {"stage": lifted.stage.value} if lifted.stage else {}
        stage |= {MAY_ACT: True} if lifted.stage or (line and self.expected) else {}
        if lifted.alive:
            await self._as_cordoned_before(cluster, before)
            return UndoResult.conflict(lifted.alive, **stage)
        how = lifted.how
        changed, others = await self._tidy(node)
        if how or changed:
            ctx.recorder.observed(lane="node", subject=f"Node/{self.node}", to="consequences cleared")
        evidence: dict[str, Any] = {**stage, **({"others": others} if others else {})}
        if remaining := self._remaining(node, await cluster.port.objects.get(Ref("Node", self.node))):
            return UndoResult.conflict(
                f"{' and '.join(remaining)} of {self.node} is not as before, by somebody else",
                cleared=changed,
            )
        if how or changed:
            return UndoResult.restored(how or "removed the consequences", removed=changed, **evidence)
        return UndoResult.nothing("there were no consequences", **evidence)

    async def settling(self, ctx: UndoContext, result: UndoResult) -> timedelta:
        if not result.evidence.get(MAY_ACT):
            return timedelta(0)
        answered = "stage" in result.evidence
        return await settling_time(cluster_of(ctx).port.objects, answered=answered)

    async def disturbed(self, ctx: UndoContext) -> str:
        """Wait until the responder marks the node for this fault again."""
        cluster = cluster_of(ctx)
        known = await recovered(cluster.agents, self.node, self.fault)
        node = QuarantinedNode(cluster, self.node, self.fault, await self._before(cluster, known))

        def calm() -> bool:
            return node.is_clear and not node.is_marked

        await cluster.log.until(lambda _world: calm() or None)  # what was undone may be seen late
        await cluster.log.until(lambda _world: not calm() or None)
        now = node.now
        marks = sorted(
            {*now.labels, *now.annotations, *now.unhealthy, *(["a cordon"] if now.cordoned else [])}
        )
        return f"the responder marks {self.node} again: {', '.join(marks)}"

    async def _without_fault(self, cluster: Cluster, why: str) -> UndoResult:
        """Nothing tells any more what is this fault's: a repair since then is told, as it goes by the node's name."""
        begun, pending = await begun_and_pending(
            cluster, self.node, lambda one: str(one.ref) not in self.maintenance
        )
        remaining = sorted(str(one.ref) for one in (*begun, *(one for one, _ in pending)))
        if not remaining:
            return UndoResult.nothing(f"{why}: there are no consequences")
        return UndoResult.conflict(
            f"{why}, and {', '.join(remaining)} may still be carried out there: delete what is the drill's",
            maintenance=remaining,
        )

    async def _before(self, cluster: Cluster, known: Mapping[str, Any] | None) -> NodeMarks:
        proven = cluster.proves(self)
        cause = await cause_of(cluster.agents, self.node, self.fault, known, self.cause, proven=proven)
        return NodeMarks(cause, self.cordoned, self.labels, self.annotations, self.taints, self.conditions)

    async def _as_cordoned_before(self, cluster: Cluster, before: NodeMarks) -> None:
        """Set back the cordon that a taint stands in for, whatever else stays as it is."""

        def cordoned(now: Object) -> Object:
            if taint_text(KEEP_AWAY) not in project_node(now).taints:
                return now
            taints = frozenset({taint_text(KEEP_AWAY)})
            return before.with_spec(now, Share.OWN, cordon=True, taints=taints)

        await change(cluster.port.objects, Ref("Node", self.node), cordoned)

    async def _tidy(self, node_now: QuarantinedNode) -> tuple[list[str], list[str]]:
        """Restore everything of ours, in section 7's order. Returns what had to be changed, and what is others'."""
        cluster, before, seen = node_now.cluster, node_now.before, node_now.seen
        objects, ref = cluster.port.objects, Ref("Node", self.node)
        start = await objects.get(ref)
        node, share = project_node(start), Share.OTHERS
        by_others = before.cordoned_by_others(node)
        cordons = ["a cordon"] if by_others else []
        if not _is_marked(start):
            return [], cordons

        def annotated(now: Object) -> Object:
            nonlocal share
            # On the version that is written: `change` asks again when somebody else wrote meanwhile. What follows goes
            # by this share: without the annotations nobody can tell any more.
            share = node_now.share_of(project_node(now))
            return before.with_metadata(now, "annotations", share)

        await change(objects, ref, annotated)
        await change(objects, ref, lambda now: before.with_metadata(now, "labels", share))
        removed = await remove_maintenance(
            cluster, self.node, keep=self.maintenance, ours=lambda one: node_now.is_own(one, node, share)
        )
        await change(objects, ref, before.with_conditions, status=True)
        cordon = node.cordoned if by_others else self.cordoned or taint_text(KEEP_AWAY) in node.taints
        taints = seen.taints | applied_taints(node.annotations) | {taint_text(KEEP_AWAY)}
        end = await change(
            objects, ref, lambda now: before.with_spec(now, share, cordon=cordon, taints=taints)
        )
        others = [f"a quarantine for {one}" for one in before.cause.others(node.tracked)]
        return [*differences(start, end), *removed], [*others, *cordons]

    def _remaining(self, node_now: QuarantinedNode, now: Object) -> list[str]:
        """What of this fault's a node that was read back still has, or what of before it has no more."""
        before, node, meta = node_now.before, project_node(now), now["metadata"]
        held = before.held(node) and node_now.share_of(node) is not Share.OTHERS
        found = [*(["the quarantine"] if held else []), *(["the alarm"] if before.reported(node) else [])]
        found += ["the cordon"] if self.cordoned and not node.cordoned else []
        for what, was in (("labels", self.labels), ("annotations", self.annotations)):
            found += [] if was.items() <= names.quarantine_marks(meta.get(what)).items() else [f"the {what}"]
        return found


def _is_marked(node: Object) -> bool:
    """Whether a responder has left a mark on the node: it sets one whenever it cordons, or lifts a quarantine."""
    meta, conditions = node["metadata"], (node.get("status") or {}).get("conditions") or ()
    marks = names.quarantine_marks(meta.get("labels")) or names.quarantine_marks(meta.get("annotations"))
    return bool(marks) or any(map(names.is_responder_condition, conditions))
