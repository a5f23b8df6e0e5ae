"""fault-remediation: asks for the repair of drained nodes, driven by the datastore's documents.

As NVSentinel's fault-remediation: for each document that was drained and is still `Quarantined`, whatever the node
looks like. An action without maintenance (CONTACT_SUPPORT) ends in `remediation-failed`, without `remediating`. The
maintenance resource's name is the document's, so that after a kill in between the same is made again.
"""

import logging
from collections.abc import Sequence

from offbus_sandbox.responder.controller.node_view import NodeView
from offbus_sandbox.responder.controller.part import NOW, Part
from offbus_sandbox.responder.controller.quarantine import state_patch
from offbus_sandbox.responder.controller.remediation import RESTART_GROUP, record_json, remediation
from offbus_sandbox.responder.datastore import Document
from offbus_steps.nvsentinel.names import NodeState
from offbus_steps.port import Conflict, Ref

__all__ = ["FaultRemediation"]

_log = logging.getLogger(__name__)


class FaultRemediation(Part):
    """Acts on the nodes of one cluster."""

    async def look(self, node: NodeView, documents: Sequence[Document]) -> float | None:
        """Take the node's next step; seconds until it wants to be asked again, None for "when something changes"."""
        work = next((one for one in documents if one.to_remediate), None)
        if work is None:
            return None
        key = f"{node.name}/remediate"
        if remaining := self.due.remaining(key, work.event.id, self.config.remediate_delay_s):
            return remaining
        done = await self._remediate(node, work)
        await self.store.write(node.name, [work.model_copy(update={"faultremediated": done})])
        return NOW

    async def _remediate(self, node: NodeView, work: Document) -> bool:
        """Whether the node's repair was asked for, by this document or an earlier one."""
        wanted = remediation(node, work.event, self.config.reset_by)
        if wanted is None:
            await self.objects.patch(node.ref, state_patch(node, NodeState.REMEDIATION_FAILED))
            _log.info("%s: no maintenance for %s", node.ref, work.event.recommendedAction.name)
            return False
        if {wanted.group, RESTART_GROUP} & node.remediations.keys():
            return True
        await self.objects.patch(node.ref, state_patch(node, NodeState.REMEDIATING))
        if not self.config.dry_run:
            try:
                await self.objects.create(wanted.object)
            except Conflict:
                _log.info("%s already exists", Ref.of(wanted.object))
        now = NodeView(await self.objects.get(node.ref))
        record = None if self.config.dry_run else record_json(now, wanted, self.utc())
        await self.objects.patch(
            node.ref, state_patch(now, NodeState.REMEDIATION_SUCCEEDED, remediation=record)
        )
        _log.info("%s: asked for %s", node.ref, Ref.of(wanted.object))
        return True
