"""Kubernetes Events that name the pods a drain waits for, as NVSentinel's node-drainer writes them.

Namespace `default`, source `nvsentinel-node-drainer`. One Event per node, reason and list of pods: a drain
that still waits for the same pods is not repeated. Must not: decide what is waited for.
"""

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime

from offbus_sandbox.responder.condition import kube_time
from offbus_sandbox.responder.controller.drain import DrainGroup
from offbus_sandbox.responder.controller.node_view import NodeView
from offbus_steps.nvsentinel import names
from offbus_steps.nvsentinel.parts import Part
from offbus_steps.port import Objects

__all__ = ["DrainEvents"]


@dataclass(frozen=True, slots=True)
class DrainEvents:
    """Writes the Events; remembers the last one of each node."""

    _objects: Objects
    _last: dict[str, str] = field(default_factory=dict)

    async def record(self, node: NodeView, reason: str, group: DrainGroup) -> None:
        """Record that the node's drain waits for these pods, unless the last Event says so."""
        message = f"Waiting for following pods to finish: {group}"
        if self._last.get(node.name) == message:
            return
        now = datetime.now(UTC)
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{node.name}.{secrets.token_hex(8)}", "namespace": names.REPORTS_NAMESPACE},
            "involvedObject": {"apiVersion": "v1", "kind": "Node", "name": node.name},
            "type": "NodeDraining",
            "reason": reason,
            "message": message,
            "source": {"component": f"nvsentinel-{Part.NODE_DRAINER}"},
            "firstTimestamp": kube_time(now),
            "lastTimestamp": kube_time(now),
            "count": 1,
        }
        await self._objects.create(event)
        self._last[node.name] = message
