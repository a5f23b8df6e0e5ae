"""fault-quarantine: takes a node's new events from the datastore, one after another; cordons and uncordons.

As NVSentinel's reconciler: the circuit breaker is asked before *every* event, healthy ones too, and once it has tripped
no event of any node is taken until the program is restarted with a reset breaker. A fatal event cordons the node and
marks it; further ones are added to the annotation. A healthy event drops the tracked events all of whose entities it
names; when none is left, the node is uncordoned, or left to its validation. A node that somebody uncordons while the
annotations stand is recognised without the breaker: the marks are removed, and every event that held the node is
`Cancelled`. Marks that somebody removes are not missed: their events live on.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from offbus_sandbox.responder.controller.circuit_breaker import CircuitBreaker
from offbus_sandbox.responder.controller.node_view import NodeView
from offbus_sandbox.responder.controller.part import NOW, Part
from offbus_sandbox.responder.controller.quarantine import (
    cancel_patch,
    hand_over_patch,
    quarantine_patch,
    release_patch,
    track_patch,
)
from offbus_sandbox.responder.controller.validation import noted, request_validation
from offbus_sandbox.responder.datastore import Document, Eviction, Quarantine
from offbus_sandbox.responder.health_event import HealthEvent

__all__ = ["FaultQuarantine"]

_log = logging.getLogger(__name__)


@dataclass
class FaultQuarantine(Part):
    """Acts on the nodes of one cluster. `utc` is the wall clock of the marks."""

    _breaker: CircuitBreaker
    _cordoned: set[str] = field(default_factory=set)
    """Nodes whose last change left them cordoned."""
    _uncordoned: set[str] = field(default_factory=set)
    """Nodes that somebody has uncordoned while the annotations stood."""

    def seen(self, node: NodeView) -> None:
        """Take notice of a node's change: NVSentinel's informer recognises a manual uncordon by the change.

        It is also recognised by the state alone (`look`), but in a dry run, where no node is cordoned.
        """
        if node.unschedulable:
            self._cordoned.add(node.name)
            return
        if node.name in self._cordoned and node.is_uncordoned_by_hand:
            self._uncordoned.add(node.name)
        self._cordoned.discard(node.name)

    async def look(self, node: NodeView, documents: Sequence[Document]) -> float | None:
        """Take the node's next step; seconds until it wants to be asked again, None for "when something changes"."""
        by_hand = node.name in self._uncordoned or not self.config.dry_run
        if node.is_uncordoned_by_hand and by_hand:
            return await self._cancel(node, documents)
        new = next((one for one in documents if not one.processed), None)
        if new is None or self._breaker.is_halted:
            return None
        delay_s = self.config.uncordon_delay_s if new.event.isHealthy else self.config.quarantine_delay_s
        if remaining := self.due.remaining(f"{node.name}/quarantine", new.event.id, delay_s):
            return remaining
        if not await self._breaker.admits():
            _log.error(
                "the circuit breaker is TRIPPED: %s is not quarantined, nor is any other node", node.name
            )
            return None
        became = await (
            self._heal(node, new.event, documents)
            if new.event.isHealthy
            else self._quarantine(node, new.event)
        )
        ended = [new.model_copy(update={"processed": True, "nodequarantined": became})]
        if became is Quarantine.UNQUARANTINED:  # node-drainer drops what it works on
            ended += [
                one.model_copy(update={"userpodsevictionstatus": Eviction.CANCELLED})
                for one in documents
                if one.to_drain
            ]
        await self.store.write(node.name, ended)
        return NOW

    async def _cancel(self, node: NodeView, documents: Sequence[Document]) -> float:
        """Somebody uncordoned the node by hand. The datastore last: a repetition finds the node as it was."""
        changes = {"nodequarantined": Quarantine.CANCELLED, "userpodsevictionstatus": Eviction.CANCELLED}
        await self.store.write(node.name, [one.model_copy(update=changes) for one in documents if one.holds])
        await self.objects.patch(node.ref, cancel_patch(node))
        self._uncordoned.discard(node.name)
        _log.warning("%s was uncordoned by hand: its quarantine is cancelled", node.ref)
        return NOW

    async def _quarantine(self, node: NodeView, event: HealthEvent) -> Quarantine | None:
        if not event.isFatal:
            return None  # no rule set matches
        if not node.tracked:
            self._breaker.count(node.name)
            made = quarantine_patch(
                node,
                event,
                self.utc(),
                cordon=not self.config.dry_run,
                keep_earlier=self.config.earlier_cordon == "kept",
                also=noted(node, event, self.config),
            )
            await self.objects.patch(node.ref, made)
            _log.info("%s quarantined: %s", node.ref, ", ".join(event.errorCode))
            return Quarantine.QUARANTINED
        if event.keys - {key for one in node.tracked for key in one.keys}:
            also = noted(node, event, self.config)
            await self.objects.patch(node.ref, track_patch(node, [*node.tracked, event], also))
        return Quarantine.ALREADY_QUARANTINED

    async def _heal(
        self, node: NodeView, healthy: HealthEvent, documents: Sequence[Document]
    ) -> Quarantine | None:
        # An annotation without events is of a release that was interrupted between its two changes: it is finished.
        if not node.is_being_released:
            if all(one.left_by(healthy) == one.keys for one in node.tracked):
                return None  # nothing of it is tracked
            remaining = [one for one in node.tracked if one.left_by(healthy)]
            await self.objects.patch(node.ref, track_patch(node, remaining))
            if remaining:
                return Quarantine.ALREADY_QUARANTINED
        # Read again: in NVSentinel, too, the annotation is `[]` between the two changes.
        now = NodeView(await self.objects.get(node.ref))
        if await request_validation(self.objects, now, documents):
            await self.objects.patch(node.ref, hand_over_patch(now))
            _log.info("%s released, and left to its validation", node.ref)
            return Quarantine.UNQUARANTINED
        await self.objects.patch(node.ref, release_patch(now, self.utc()))
        _log.info("%s released%s", node.ref, ", its earlier cordon stays" if node.was_cordoned_before else "")
        return Quarantine.UNQUARANTINED
