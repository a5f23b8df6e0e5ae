"""The circuit breaker: stops fault-quarantine when too many of the GPU nodes were cordoned within a time window.

As in NVSentinel's fault-quarantine: asked before every event; it trips at that question, when the nodes cordoned in the
window reach the share (rounded up), so also on a *healthy* event. State in ConfigMap `circuit-breaker`, key `status`,
CLOSED or TRIPPED. What it stopped stays so until the program is restarted with a reset breaker. Cordons are counted in
memory, as there. Off by default (docs/responder.md). Must not: uncordon anything.
"""

import logging

import anyio

from offbus_sandbox.responder import config
from offbus_steps.nvsentinel import names
from offbus_steps.nvsentinel.breaker_rule import TRIPPED, limit
from offbus_steps.nvsentinel.recent_cordons import gpu_nodes
from offbus_steps.port import Conflict, NotFound, Objects, Ref

__all__ = ["CircuitBreaker"]

_log = logging.getLogger(__name__)


class CircuitBreaker:
    """One controller's breaker."""

    def __init__(self, objects: Objects, settings: config.Breaker) -> None:
        self._objects = objects
        self._settings = settings
        self._ref = Ref("ConfigMap", names.BREAKER, settings.namespace)
        self._cordoned: dict[str, float] = {}
        self.is_halted = False
        """Whether it was found tripped since the program's start."""

    async def admits(self) -> bool:
        """Whether the next event may be taken; trips when the limit is reached. Once False, always False."""
        if not self._settings.enabled or self.is_halted:
            return not self.is_halted
        try:
            told = (await self._objects.get(self._ref)).get("data") or {}
        except NotFound:
            told = {}
        if told.get("status") == TRIPPED:
            self.is_halted = True
            return False
        since = anyio.current_time() - self._settings.duration_s
        recent = {name for name, at in self._cordoned.items() if at > since}
        nodes = gpu_nodes((await self._objects.list("Node")).items)
        if nodes and len(recent) >= limit(len(nodes), self._settings.percentage):
            self.is_halted = True
            await self._trip()
        return not self.is_halted

    def count(self, node: str) -> None:
        """Count a node that is quarantined now."""
        self._cordoned[node] = anyio.current_time()

    async def _trip(self) -> None:
        _log.error(
            "%.0f %% of the GPU nodes or more were cordoned: breaker tripped", self._settings.percentage
        )
        metadata = {"name": self._ref.name, "namespace": self._ref.namespace}
        made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"status": TRIPPED}}
        try:
            await self._objects.create(made)
        except Conflict:
            await self._objects.patch(self._ref, {"data": {"status": TRIPPED}})
