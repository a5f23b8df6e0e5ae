"""Gets a responder to lift its quarantine for a fault, so that nothing of the fault lives on inside it.

A responder works on events of its own database; what it writes on the node is only their reflection. Removing that by
hand leaves the event alive, and the node is rebooted later (reference/nvsentinel-observed.md, "What undoes a fault").
So the responder itself has to let go, in one of three ways, tried in this order as far as the stage allows
(`WAYS`), each bounded by `patience` and ended by what the watches show:

    OWN_WORK   it repairs the node, or is told of a repair, and uncordons; not waited for where it never will
    CLEAR      its documented clear: the GPU-reset line, through the agent, which writes it only for GPUs that the
               responder's monitor is known to know; not sent when it would end another alarm of that GPU
    CANCEL     the node is uncordoned while the annotations stand: taken for a manual uncordon, which cancels the
               event; also with a tripped circuit breaker, which answers nothing else. A repair that was requested and
               has not begun is withdrawn first; one that runs is waited for. A node that is not cordoned (dry run, or
               an earlier attempt) is cordoned for the moment, because the responder acts on the change. A node that is
               cordoned for another reason, too, keeps pods away by a taint until that cordon is back.

A quarantine that is for another fault as well is never cancelled: that one's repair covers ours. A responder that
validates what was repaired keeps the node cordoned after its quarantine: `offbus_steps.inject.lift_validation` ends
that. What did not let go is `Lifted.alive`, in words: it is residue, with what may still happen and what prevents it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

from anyio import move_on_after

from offbus.recorder import Recorder
from offbus_steps.agents.client import AgentRefused, EffectNotShown
from offbus_steps.inject.lift_validation import end_validations
from offbus_steps.inject.maintenance import begun_and_pending, validations_of, withdraw
from offbus_steps.inject.quarantined_node import QuarantinedNode
from offbus_steps.nvsentinel import names
from offbus_steps.nvsentinel.cause import Share
from offbus_steps.nvsentinel.circuit_breaker import breaker_is_tripped
from offbus_steps.nvsentinel.names import NodeState
from offbus_steps.port import Forbidden, Invalid, Object, Ref, Unavailable
from offbus_steps.residue.patching import change
from offbus_steps.watch.projections import MaintenanceProjection

__all__ = ["KEEP_AWAY", "WAYS", "Lift", "Lifted", "Stage", "Way"]

KEEP_AWAY: Mapping[str, str] = {"key": "offbus.dev/cordoned", "effect": "NoSchedule"}
"""Stands in for a cordon that is not the responder's, while it sees the node uncordoned; the tidying sets it back."""


class Stage(StrEnum):
    """How far the responder is with a node."""

    REPORTED = "reported"
    """The condition alone."""
    QUARANTINED = NodeState.QUARANTINED.value
    DRAINING = NodeState.DRAINING.value
    DRAIN_SUCCEEDED = NodeState.DRAIN_SUCCEEDED.value
    REMEDIATING = NodeState.REMEDIATING.value
    REQUESTED = NodeState.REMEDIATION_SUCCEEDED.value
    """The maintenance resource was made; the repair is not done yet."""
    DRAIN_FAILED = NodeState.DRAIN_FAILED.value
    REMEDIATION_FAILED = NodeState.REMEDIATION_FAILED.value
    DRY_RUN = "dry run"
    """Marked, and not cordoned."""
    TRIPPED = "circuit breaker tripped"
    VALIDATING = "validating"
    """The quarantine is over, and the node stays cordoned until it is validated."""
    VALIDATION_FAILED = "validation failed"


class Way(StrEnum):
    """A way to get a quarantine lifted, and how that is told."""

    OWN_WORK = "the responder lifted its quarantine"
    CLEAR = "the responder lifted its quarantine after its clear was sent"
    CANCEL = "the responder cancelled its quarantine when the node was uncordoned"
    WITHDRAW = "the responder released the node when its validation was withdrawn"


WAYS: Mapping[Stage, tuple[Way, ...]] = {
    **dict.fromkeys(Stage, (Way.OWN_WORK, Way.CLEAR, Way.CANCEL)),
    Stage.DRAIN_FAILED: (Way.CLEAR, Way.CANCEL),
    Stage.REMEDIATION_FAILED: (Way.CLEAR, Way.CANCEL),
    Stage.DRY_RUN: (Way.CLEAR, Way.CANCEL),
    Stage.TRIPPED: (Way.CANCEL,),
    Stage.VALIDATING: (Way.OWN_WORK, Way.WITHDRAW),
    Stage.VALIDATION_FAILED: (Way.WITHDRAW,),
}
FINAL = frozenset({NodeState.DRAIN_FAILED, NodeState.REMEDIATION_FAILED})
"""States that the responder leaves only after a clear or a cancellation: waiting does not help."""


@dataclass(frozen=True, slots=True)
class Lifted:
    """What became of a quarantine."""

    how: str = ""
    """Empty when there was none."""
    stage: Stage | None = None
    """Where the responder was found."""
    alive: str = ""
    """What the responder may still do, as it did not let go."""


@dataclass(frozen=True, slots=True)
class Lift:
    """One attempt to get a node's quarantine lifted."""

    node: QuarantinedNode
    recorder: Recorder
    patience: timedelta
    maintenance: tuple[str, ...]
    """Maintenance resources of the node from before the fault."""

    async def lift(self, *, may_react: bool) -> Lifted:
        """Get it lifted. `may_react`: a responder may still find the fault's line, and answer it."""
        now, share = self.node.now, self.node.share
        lifted = await self._lift_quarantine(may_react=may_react)
        if lifted.alive:
            return lifted

        def own(one: MaintenanceProjection) -> bool:
            return str(one.ref) not in self.maintenance and self.node.is_own(one, now, share)

        # It is asked for before the quarantine ends: so it is there by now, if ever.
        found = await validations_of(self.node.cluster, self.node.name, own)
        if not found:
            return lifted
        stage = Stage.VALIDATION_FAILED if any(one.done == "False" for one, _ in found) else Stage.VALIDATING
        patience = self.patience if Way.OWN_WORK in WAYS[stage] else timedelta(0)
        end = await end_validations(self.node, self.recorder, patience, self.patience, found)
        if end.alive:
            return Lifted(stage=stage, alive=end.alive)
        if all(one.done == "True" for one, _ in found):
            return lifted
        return Lifted(Way.WITHDRAW if end.withdrawn else Way.OWN_WORK, stage)

    async def _lift_quarantine(self, *, may_react: bool) -> Lifted:
        node = self.node
        if may_react and not node.reacted and not await self._wait(lambda: node.reacted):
            await self._send_clear()  # it finds both lines, if it ever looks
        if node.is_clear:
            return Lifted(Way.OWN_WORK if node.reacted else "")
        stage = await self._stage()
        for way in WAYS[stage]:
            if way is Way.OWN_WORK:
                await self._wait(lambda: node.is_clear or node.now.state in FINAL)
            elif way is Way.CLEAR:
                if await self._send_clear():
                    await self._wait(lambda: node.is_clear)
            elif alive := await self._cancel():
                return Lifted(stage=stage, alive=alive)
            if node.is_clear or (way is Way.CANCEL and not node.is_held):
                return Lifted(way, stage)
        return Lifted("offbus removed the marks of its part in the quarantine", stage)

    async def _stage(self) -> Stage:
        node, cluster = self.node.now, self.node.cluster
        where = cluster.guards.responder_namespace
        try:
            if self.node.is_held and await breaker_is_tripped(cluster.port.objects, where):
                return Stage.TRIPPED
        except Forbidden:
            pass  # then the ways that it does not answer are tried in vain, and the last one still works
        if not self.node.is_held:
            return Stage.REPORTED
        if names.CORDONED_ANNOTATION in node.annotations and not node.cordoned:
            return Stage.DRY_RUN
        return Stage(node.state) if node.state in set(Stage) else Stage.QUARANTINED

    async def _cancel(self) -> str:
        """Have the responder cancel its event. Returns what it may still do when it does not."""
        node, objects = self.node, self.node.cluster.port.objects
        if not node.is_held or node.share is not Share.OWN:
            return ""
        if running := await self._withdraw_repairs():
            return f"{', '.join(running)} is being carried out: {node.name} may still be repaired"
        ref, before = Ref("Node", node.name), node.before
        was_cordoned = before.cordoned or before.cordoned_by_others(node.now)

        def uncordoned(now: Object) -> Object:
            spec = {key: value for key, value in (now.get("spec") or {}).items() if key != "unschedulable"}
            taints = [*(spec.get("taints") or ()), *([dict(KEEP_AWAY)] if was_cordoned else ())]
            return {**now, "spec": {**spec, **({"taints": taints} if taints else {})}}

        await change(
            objects, ref, lambda now: {**now, "spec": {**(now.get("spec") or {}), "unschedulable": True}}
        )
        await change(objects, ref, uncordoned)
        self._tell("uncordoned, so that the responder cancels its quarantine", {})
        if await self._wait(lambda: not node.is_held):
            return ""
        keys = " ".join(f"{key}-" for key in sorted(node.now.annotations))
        return (
            f"the responder has not let go of {node.name} within {self.patience.total_seconds():g} s: once it "
            "runs again it may drain the node and have it rebooted. Then recover again, or: "
            f"kubectl cordon {node.name} && kubectl uncordon {node.name}. If it is gone for good: "
            f"kubectl annotate node {node.name} {keys}; kubectl label node {node.name} {names.STATE_LABEL}-"
        )

    async def _withdraw_repairs(self) -> list[str]:
        """Withdraw this fault's repairs that have not begun, and wait for those that have. Returns which go on."""
        cluster, share, now = self.node.cluster, self.node.share, self.node.now

        def own(one: Any) -> bool:
            return str(one.ref) not in self.maintenance and self.node.is_own(one, now, share)

        begun, pending = await begun_and_pending(cluster, self.node.name, own)
        await withdraw(cluster, pending)
        if not begun:
            return []
        for kind in {one.ref.kind for one in begun}:
            try:
                await cluster.observer.watch(kind)
            except Invalid:
                continue
        refs = [one.ref for one in begun]

        def ended() -> bool:
            found = (cluster.log.world.projections.get(ref) for ref in refs)
            return all(one is None or getattr(one, "done", "") for one in found)

        return [] if await self._wait(ended) else [str(ref) for ref in refs]

    async def _wait(self, done: Callable[[], bool]) -> bool:
        with move_on_after(self.patience.total_seconds()):
            await self.node.cluster.log.until(lambda _world: done() or None)
            return True
        return False

    async def _send_clear(self) -> bool:
        """Have the agent write the responder's documented clear. Returns whether a line was written and read back."""
        node = self.node.now
        if not self.node.before.cause.ends_by_reset:
            self._tell("clear not sent", {"why": "the line of a GPU's reset ends XIDs, and no other finding"})
            return False
        if endangered := self.node.before.cause.endangered((*node.findings, *node.tracked)):
            why = "a GPU reset would end another alarm, too: " + ", ".join(map(str, endangered))
            self._tell("clear not sent", {"why": why})
            return False
        try:
            answer = await self.node.cluster.agents.act(self.node.name, self.node.fault, "clear")
        except (AgentRefused, EffectNotShown, Unavailable) as err:
            answer = {"lines": [], "why": str(err)}
        sent = bool(answer["lines"])
        self._tell("clear sent" if sent else "clear could not be sent", answer)
        return sent

    def _tell(self, what: str, evidence: Mapping[str, Any]) -> None:
        self.recorder.observed(
            lane="responder",
            subject=f"Node/{self.node.name}",
            to=what,
            evidence=dict(evidence),
            brief=str(evidence.get("why", "")),
        )
