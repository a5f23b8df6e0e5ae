"""Writes health events to the cluster: into the datastore, and for people a node condition or a Kubernetes Event.

As NVSentinel's platform-connectors: the datastore is what the responder acts on; the `K8sConnector` writes a condition
for a fault or a repair, an Event for the rest, by its own way, which may be later than the cordon. Conditions are read,
changed and patched with the resource version; after a conflict they are read again. While the API is unreachable it
retries, waiting up to 5 s between attempts, and nothing is lost or reordered. Any other refusal is raised: it is a bug
or a missing permission. Must not: decide whether an event is new.
"""

import hashlib
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import TypeVar

import anyio

from offbus.errors import Retryable
from offbus_sandbox.responder.condition import faults_of, kube_time, updated_conditions
from offbus_sandbox.responder.config import ResponderConfig
from offbus_sandbox.responder.datastore import Datastore, Document
from offbus_sandbox.responder.health_event import HealthEvent, entry_text
from offbus_steps.nvsentinel import names
from offbus_steps.port import Conflict, NotFound, Object, Objects, Ref

__all__ = ["Publisher"]

_FIRST_WAIT_S = 0.1
_LONGEST_WAIT_S = 5.0
_log = logging.getLogger(__name__)
T = TypeVar("T")


class Publisher:
    """Publishes the events of one node."""

    def __init__(self, objects: Objects, node: str, config: ResponderConfig) -> None:
        self._objects = objects
        self._node = Ref("Node", node)
        self._store = Datastore(objects, config.circuit_breaker.namespace)
        self._condition_delay_s = config.condition_delay_s

    async def publish(self, event: HealthEvent) -> None:
        """Write the event; returns when the cluster shows it."""
        document = Document.of(event, datetime.now(UTC))
        await _until_reached(lambda: self._store.write(self._node.name, [document]))
        await anyio.sleep(self._condition_delay_s)
        if event.isFatal or event.isHealthy:
            await _until_reached(lambda: self._set_condition(event))
        else:
            await _until_reached(lambda: self._record_event(event))
        _log.info("published: %s", entry_text(event) if not event.isHealthy else f"{event.checkName} healthy")

    async def shows(self, check: str) -> bool:
        """Whether the node has a fault of this check in its condition."""
        node = await _until_reached(lambda: self._objects.get(self._node))
        return any(fault.checkName == check for fault in faults_of(node))

    async def _set_condition(self, event: HealthEvent) -> None:
        while True:
            node = await self._objects.get(self._node)
            conditions = updated_conditions(
                node.get("status", {}).get("conditions", []), event, datetime.now(UTC)
            )
            version = node["metadata"]["resourceVersion"]
            patch = {"metadata": {"resourceVersion": version}, "status": {"conditions": conditions}}
            try:
                await self._objects.patch(self._node, patch, status=True)
            except Conflict:
                continue
            return

    async def _record_event(self, event: HealthEvent) -> None:
        made = self._event_object(event)
        with suppress(Conflict):
            await self._objects.create(made)
            return
        # A repeat, of the same message: as NVSentinel, raise `count` and `lastTimestamp` of the Event that is there.
        try:
            there = await self._objects.get(Ref.of(made))
        except NotFound:
            await self._objects.create(made)
        else:
            again = {"count": int(there.get("count", 1)) + 1, "lastTimestamp": made["lastTimestamp"]}
            await self._objects.patch(Ref.of(made), again)

    def _event_object(self, event: HealthEvent) -> Object:
        now = kube_time(datetime.now(UTC))
        message = entry_text(event)
        digest = hashlib.sha256(repr((event.key, message)).encode()).hexdigest()[:16]
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{self._node.name}.{digest}", "namespace": names.REPORTS_NAMESPACE},
            "involvedObject": {"apiVersion": "v1", "kind": "Node", "name": self._node.name},
            "type": event.checkName,
            "reason": f"{event.checkName}{names.UNHEALTHY_SUFFIX}",
            "message": message,
            "source": {"component": names.AGENT, "host": self._node.name},
            "reportingComponent": names.AGENT,
            "reportingInstance": self._node.name,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }


async def _until_reached(attempt: Callable[[], Awaitable[T]]) -> T:
    wait = _FIRST_WAIT_S
    while True:
        try:
            return await attempt()
        except Retryable as err:
            _log.warning("the API is unreachable, retrying in %.1f s: %s", wait, err)
            await anyio.sleep(wait)
            wait = min(wait * 2, _LONGEST_WAIT_S)
