"""Reconciles one node: asks NVSentinel's parts, one after another, for its next step.

fault-quarantine (quarantined), node-drainer (draining, drain-succeeded) and fault-remediation (remediating,
remediation-succeeded or -failed) work on the same documents of the datastore, each on the field that the one before has
set; the lifecycle-manager validates what was repaired. Level-triggered: everything is read from the cluster and every
step may be repeated, so a new controller continues after a killed one. `look` returns the seconds until it must be
called again, or None for "when something changes". Conflicts and unreachable APIs are raised to the caller, which
retries.
"""

from collections.abc import Callable
from datetime import UTC, datetime

import anyio

from offbus_sandbox.responder.config import ResponderConfig
from offbus_sandbox.responder.controller.circuit_breaker import CircuitBreaker
from offbus_sandbox.responder.controller.delays import Due
from offbus_sandbox.responder.controller.drain_events import DrainEvents
from offbus_sandbox.responder.controller.fault_quarantine import FaultQuarantine
from offbus_sandbox.responder.controller.fault_remediation import FaultRemediation
from offbus_sandbox.responder.controller.node_drainer import NodeDrainer
from offbus_sandbox.responder.controller.node_view import NodeView, is_managed
from offbus_sandbox.responder.controller.part import NOW
from offbus_sandbox.responder.controller.validation import Validator
from offbus_sandbox.responder.datastore import Datastore
from offbus_steps.port import NotFound, Object, Objects, Ref

__all__ = ["Reconciler", "utc_now"]


def utc_now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


class Reconciler:
    """Acts on the nodes of one cluster. `utc` is the wall clock that objects' timestamps refer to."""

    def __init__(self, objects: Objects, config: ResponderConfig, utc: Callable[[], datetime]) -> None:
        self._objects = objects
        self.store = Datastore(objects, config.circuit_breaker.namespace)
        shared = (objects, self.store, config, Due(anyio.current_time), utc)
        self._quarantine = FaultQuarantine(*shared, CircuitBreaker(objects, config.circuit_breaker))
        self._parts = (
            self._quarantine,
            NodeDrainer(*shared, DrainEvents(objects)),
            FaultRemediation(*shared),
            Validator(*shared),
        )

    def seen(self, node: Object) -> None:
        """Take notice of a node's change; `look` only sees its state."""
        self._quarantine.seen(NodeView(node))

    async def look(self, name: str) -> float | None:
        """Take a node's next step."""
        documents = await self.store.documents(name)
        try:
            node = NodeView(await self._objects.get(Ref("Node", name)))
        except NotFound:
            return None
        if not is_managed(node.object):
            return None
        waits = []
        for part in self._parts:
            wait = await part.look(node, documents)
            if wait == NOW:
                return NOW
            waits.append(wait)
        await self.store.trim(name, documents)
        return min((wait for wait in waits if wait is not None), default=None)
