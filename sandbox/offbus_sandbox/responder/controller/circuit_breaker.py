"""The circuit breaker: stops quarantines when too many of the GPU nodes were cordoned within a time window.

As in NVSentinel's fault-quarantine: state in ConfigMap `circuit-breaker`, key `status`; the value TRIPPED blocks until
somebody changes it. Off by default (docs/responder.md). Cordons are counted in memory, as there. Must not: uncordon
anything.
"""

import logging

import anyio

from offbus_sandbox.responder import config
from offbus_sandbox.responder.controller.node_view import is_managed
from offbus_steps.nvsentinel import names
from offbus_steps.port import Conflict, NotFound, Objects, Ref

__all__ = ["CircuitBreaker"]

TRIPPED = "TRIPPED"
_log = logging.getLogger(__name__)


class CircuitBreaker:
    """One controller's breaker."""

    def __init__(self, objects: Objects, settings: config.Breaker) -> None:
        self._objects = objects
        self._settings = settings
        self._ref = Ref("ConfigMap", names.BREAKER, settings.namespace)
        self._cordoned: dict[str, float] = {}

    async def admits(self, node: str) -> bool:
        """Whether the node may be quarantined now."""
        if not self._settings.enabled or not await self._is_tripped():
            return True
        _log.error("the circuit breaker is TRIPPED: %s is not quarantined until it is reset by hand", node)
        return False

    async def count(self, node: str) -> None:
        """Count a quarantined node; trip when the limit is exceeded."""
        if not self._settings.enabled:
            return
        self._cordoned[node] = anyio.current_time()
        since = anyio.current_time() - self._settings.duration_s
        recent = {name for name, at in self._cordoned.items() if at > since}
        nodes = [n for n in (await self._objects.list("Node")).items if is_managed(n)]
        if 100.0 * len(recent) / max(len(nodes), 1) > self._settings.percentage:
            await self._trip()

    async def _is_tripped(self) -> bool:
        try:
            found = await self._objects.get(self._ref)
        except NotFound:
            return False
        return (found.get("data") or {}).get("status") == TRIPPED

    async def _trip(self) -> None:
        _log.error(
            "more than %.0f %% of the GPU nodes were cordoned: breaker tripped", self._settings.percentage
        )
        metadata = {"name": self._ref.name, "namespace": self._ref.namespace}
        made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"status": TRIPPED}}
        try:
            await self._objects.create(made)
        except Conflict:
            await self._objects.patch(self._ref, {"data": {"status": TRIPPED}})
