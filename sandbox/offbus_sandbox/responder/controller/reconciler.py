"""Reconciles one node: decides what its faults require now, and takes the next step.

The state machines of NVSentinel's fault-quarantine, node-drainer and fault-remediation together: quarantined, draining,
drain-succeeded, remediating, remediation-succeeded or -failed; a cleared fault ends it from any state. Level-triggered:
everything is read from the cluster and every step may be repeated, so a new controller continues after a killed one.
`look` returns the seconds until it must be called again, or None for "when something changes". Conflicts and
unreachable APIs are raised to the caller, which retries.
"""

import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import anyio

from offbus_sandbox.responder.config import DrainMode, ResponderConfig
from offbus_sandbox.responder.controller.circuit_breaker import CircuitBreaker
from offbus_sandbox.responder.controller.delays import Due
from offbus_sandbox.responder.controller.drain import DrainGroup, forgotten_in, next_group
from offbus_sandbox.responder.controller.drain_events import DrainEvents
from offbus_sandbox.responder.controller.node_view import NodeView, is_managed
from offbus_sandbox.responder.controller.quarantine import (
    cancel_patch,
    quarantine_patch,
    release_patch,
    state_patch,
    track_patch,
)
from offbus_sandbox.responder.controller.remediation import record_json, remediations
from offbus_steps.nvsentinel.names import NodeState
from offbus_steps.port import Conflict, NotFound, Objects, Ref, TooManyDisruptions

__all__ = ["Reconciler", "utc_now"]

NOW = 0.0
_EVICT_AGAIN_S = 0.5
"""Pause after a disruption budget refused an eviction (NVSentinel backs off from 10 s)."""
_BREAKER_AGAIN_S = 5.0
"""Pause before a tripped breaker is checked again: no change of a node reports its reset."""
_DRAINED = (
    NodeState.DRAIN_SUCCEEDED,
    NodeState.REMEDIATING,
    NodeState.REMEDIATION_SUCCEEDED,
    NodeState.REMEDIATION_FAILED,
)
_log = logging.getLogger(__name__)


def utc_now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


class Reconciler:
    """Acts on the nodes of one cluster. `utc` is the wall clock that objects' timestamps refer to."""

    def __init__(self, objects: Objects, config: ResponderConfig, utc: Callable[[], datetime]) -> None:
        self._objects = objects
        self._config = config
        self._utc = utc
        self._due = Due(anyio.current_time)
        self._breaker = CircuitBreaker(objects, config.circuit_breaker)
        self._events = DrainEvents(objects)
        self._cancelled: dict[str, set[tuple[object, ...]]] = {}

    async def look(self, name: str) -> float | None:
        """Take a node's next step."""
        try:
            node = NodeView(await self._objects.get(Ref("Node", name)))
        except NotFound:
            self._due.forget(name)
            return None
        if not is_managed(node.object):
            return None
        return await (self._held(node) if node.is_quarantined else self._free(node))

    async def _free(self, node: NodeView) -> float | None:
        """A node that is not quarantined: quarantine it for new faults; those cancelled by hand are not new."""
        old = self._cancelled.setdefault(
            node.name, {f.key for f in node.faults} if node.is_cancelled else set()
        )
        old &= {fault.key for fault in node.faults}
        news = [fault for fault in node.faults if fault.key not in old]
        if not news:
            self._due.forget(node.name)
            return None
        return await self._after("quarantine", self._config.quarantine_delay_s, node, self._quarantine)

    async def _held(self, node: NodeView) -> float | None:
        if node.is_uncordoned_by_hand:
            self._cancelled[node.name] = {fault.key for fault in node.faults}
            await self._objects.patch(node.ref, cancel_patch(node))
            _log.warning("%s was uncordoned by hand: its quarantine is cancelled", node.ref)
            return None
        if not node.faults:
            return await self._after("uncordon", self._config.uncordon_delay_s, node, self._release)
        if {fault.key for fault in node.faults} != {fault.key for fault in node.tracked}:
            await self._objects.patch(node.ref, track_patch(node, node.faults, self._utc()))
            return NOW
        if node.in_state(*_DRAINED):
            return await self._repair(node)
        if node.in_state(NodeState.DRAINING):
            return await self._drain(node)
        return await self._after("drain", self._config.drain_delay_s, node, self._drain)

    async def _repair(self, node: NodeView) -> float | None:
        if node.in_state(NodeState.DRAIN_SUCCEEDED):
            return await self._after(
                "remediate", self._config.remediate_delay_s, node, self._start_remediation
            )
        wanted, mapped = remediations(node)
        ended = NodeState.REMEDIATION_SUCCEEDED if mapped else NodeState.REMEDIATION_FAILED
        if wanted or not node.in_state(ended):
            return await self._remediate(node)
        return None

    async def _quarantine(self, node: NodeView) -> float | None:
        if not await self._breaker.admits(node.name):
            return _BREAKER_AGAIN_S
        await self._objects.patch(node.ref, quarantine_patch(node, node.faults, self._utc()))
        await self._breaker.count(node.name)
        self._cancelled.pop(node.name, None)
        _log.info(
            "%s quarantined: %s", node.ref, ", ".join(code for f in node.faults for code in f.errorCode)
        )
        return NOW

    async def _release(self, node: NodeView) -> float | None:
        await self._objects.patch(node.ref, release_patch(node, self._utc()))
        _log.info("%s released%s", node.ref, ", its earlier cordon stays" if node.was_cordoned_before else "")
        return None

    async def _drain(self, node: NodeView) -> float | None:
        pods = (await self._objects.list("Pod")).items
        now = self._utc()
        group = next_group(pods, node.name, self._config, now)
        if group is None:
            await self._objects.patch(node.ref, state_patch(node, NodeState.DRAIN_SUCCEEDED))
            _log.info("%s drained", node.ref)
            return NOW
        if not node.in_state(NodeState.DRAINING):
            await self._objects.patch(node.ref, state_patch(node, NodeState.DRAINING))
            return NOW
        wait_s = None
        if group.mode is DrainMode.IMMEDIATE:
            wait_s = await self._evict(group)
        elif group.mode is DrainMode.DELETE_AFTER_TIMEOUT:
            wait_s = await self._delete_in_time(node, group, now)
        else:
            await self._events.record(node, "AwaitingPodCompletion", group)
        waits = (wait_s, forgotten_in(group, self._config, now))
        return min((wait for wait in waits if wait is not None), default=None)

    async def _evict(self, group: DrainGroup) -> float | None:
        """Evict each pod once; one that a disruption budget protects is retried later."""
        again: list[float] = []
        for pod in group.pods:
            if pod["metadata"].get("deletionTimestamp"):
                continue
            try:
                await self._objects.evict(Ref.of(pod), uid=pod["metadata"]["uid"])
            except TooManyDisruptions as err:
                again.append(max(err.after.total_seconds(), _EVICT_AGAIN_S))
            except (NotFound, Conflict):
                _log.info("%s went by itself", Ref.of(pod))
        return min(again, default=None)

    async def _delete_in_time(self, node: NodeView, group: DrainGroup, now: datetime) -> float | None:
        started = min((f.generatedTimestamp for f in node.tracked if f.generatedTimestamp), default=now)
        remaining = (started + timedelta(seconds=self._config.delete_after_timeout_s) - now).total_seconds()
        if remaining > 0:
            await self._events.record(node, "WaitingBeforeForceDelete", group)
            return remaining
        for pod in group.pods:
            try:
                await self._objects.delete(Ref.of(pod), uid=pod["metadata"]["uid"], grace_seconds=0)
            except (NotFound, Conflict):
                _log.info("%s went by itself", Ref.of(pod))
        return None

    async def _start_remediation(self, node: NodeView) -> float | None:
        await self._objects.patch(node.ref, state_patch(node, NodeState.REMEDIATING))
        return NOW

    async def _remediate(self, node: NodeView) -> float | None:
        """Create what is missing, then record it: after a crash in between, the names are the same again."""
        wanted, mapped = remediations(node)
        for one in wanted:
            try:
                await self._objects.create(one.object)
            except Conflict:
                _log.info("%s already exists", Ref.of(one.object))
        state = NodeState.REMEDIATION_SUCCEEDED if mapped else NodeState.REMEDIATION_FAILED
        record = record_json(node, wanted, self._utc()) if wanted else None
        await self._objects.patch(node.ref, state_patch(node, state, remediation=record))
        _log.info(
            "%s %s: %s", node.ref, state, ", ".join(str(Ref.of(one.object)) for one in wanted) or "nothing"
        )
        return NOW

    async def _after(
        self,
        transition: str,
        delay_s: float,
        node: NodeView,
        act: Callable[[NodeView], Awaitable[float | None]],
    ) -> float | None:
        return self._due.remaining(node.name, transition, delay_s) or await act(node)
