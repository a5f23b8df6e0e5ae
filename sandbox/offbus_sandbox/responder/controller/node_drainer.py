"""node-drainer: empties quarantined nodes, driven by the datastore's documents.

As NVSentinel's node-drainer: a document whose node is in quarantine is taken into work, pods are asked to leave, and
after every `drain_retry_s` it looks again; nothing wakes it in between. When no pod is left that has to leave, the
document's drain has succeeded, and the node's state label says so: whatever the label was, even when somebody removed
it. A further fault of a node that was drained in the same quarantine is `AlreadyDrained`.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from offbus_sandbox.responder.controller.drain import DrainGroup, next_group
from offbus_sandbox.responder.controller.drain_events import DrainEvents
from offbus_sandbox.responder.controller.node_view import NodeView
from offbus_sandbox.responder.controller.part import NOW, Part
from offbus_sandbox.responder.controller.quarantine import state_patch
from offbus_sandbox.responder.datastore import DRAINED, Document, Eviction, Quarantine
from offbus_steps.nvsentinel.drain_rules import DrainMode
from offbus_steps.nvsentinel.names import NodeState
from offbus_steps.port import Conflict, NotFound, Ref, TooManyDisruptions

__all__ = ["NodeDrainer"]

_log = logging.getLogger(__name__)


@dataclass
class NodeDrainer(Part):
    """Acts on the nodes of one cluster. `utc` is the wall clock that objects' timestamps refer to."""

    _events: DrainEvents
    _looked: set[str] = field(default_factory=set)
    """Documents that were looked at: the next look waits for the retry interval."""

    async def look(self, node: NodeView, documents: Sequence[Document]) -> float | None:
        """Take the node's next step; seconds until it wants to be asked again, None for "when something changes"."""
        work = next((one for one in documents if one.to_drain), None)
        if work is None:
            return None
        key, first = work.event.id, work.event.id not in self._looked
        if work.userpodsevictionstatus is Eviction.NOT_STARTED:
            if remaining := self.due.remaining(f"{node.name}/drain", key, self.config.drain_delay_s):
                return remaining
            is_drained = any(one.holds and one.userpodsevictionstatus in DRAINED for one in documents)
            if work.nodequarantined is Quarantine.ALREADY_QUARANTINED and is_drained:
                return await self._ended(node, work, Eviction.ALREADY_DRAINED)
            await self.store.write(
                node.name, [work.model_copy(update={"userpodsevictionstatus": Eviction.IN_PROGRESS})]
            )
            return NOW
        retry = f"{node.name}/retry"
        if not first and (remaining := self.due.remaining(retry, key, self.config.drain_retry_s)):
            return remaining
        self._looked.add(key)
        now = self.utc()
        group = next_group((await self.objects.list("Pod")).items, node.name, self.config, now)
        if group is None or self.config.dry_run:
            self._looked.discard(key)
            return await self._ended(node, work, Eviction.SUCCEEDED)
        if not node.in_state(NodeState.DRAINING):
            await self.objects.patch(node.ref, state_patch(node, NodeState.DRAINING))
        await self._move(node, work, group, now)
        return self.due.remaining(retry, key, self.config.drain_retry_s)

    async def _ended(self, node: NodeView, work: Document, how: Eviction) -> float:
        await self.objects.patch(node.ref, state_patch(node, NodeState.DRAIN_SUCCEEDED))
        await self.store.write(node.name, [work.model_copy(update={"userpodsevictionstatus": how})])
        _log.info("%s drained", node.ref)
        return NOW

    async def _move(self, node: NodeView, work: Document, group: DrainGroup, now: datetime) -> None:
        """Ask the group's pods to leave, by its mode; what is refused is asked again at the next look."""
        if group.mode is DrainMode.ALLOW_COMPLETION:
            await self._events.record(node, "AwaitingPodCompletion", group)
            return
        timeout = timedelta(seconds=self.config.delete_after_timeout_s)
        forced = group.mode is DrainMode.DELETE_AFTER_TIMEOUT
        if forced and work.createdAt + timeout > now:
            await self._events.record(node, "WaitingBeforeForceDelete", group)
            return
        for pod in group.pods:
            ref, uid = Ref.of(pod), pod["metadata"]["uid"]
            try:
                if forced:
                    await self.objects.delete(ref, uid=uid, grace_seconds=0)
                elif not pod["metadata"].get("deletionTimestamp"):
                    await self.objects.evict(ref, uid=uid)
            except TooManyDisruptions as err:
                _log.info("%s stays for now: %s", ref, err)
            except (NotFound, Conflict):
                _log.info("%s went by itself", ref)
