"""Simulates NVSentinel's janitor: completes maintenance resources after a delay, without any real reboot or reset.

A resource is pending until the condition `SignalSent` says that the repair has begun. The repair is reported as the
real one does it, so that the detector notices by itself: a reboot gives the node a new boot id, a GPU reset writes
`GPU reset executed: GPU-…, success: true` to the kernel log. Then the resource's own condition is set. A resource that
was deleted meanwhile is dropped; after a kill the janitor repeats the repair, which is harmless. Resources without
NVSentinel's label, and of nodes that this janitor does not serve, are ignored. Must not: change the node object.
"""

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import anyio
from anyio.abc import TaskGroup

from offbus.errors import Retryable
from offbus_sandbox.responder.condition import kube_time
from offbus_sandbox.responder.config import ResponderConfig
from offbus_sandbox.responder.janitor.node_repair import NodeRepair, RepairError
from offbus_sandbox.responder.watch import Seen, follow
from offbus_steps.nvsentinel import names
from offbus_steps.port import Conflict, NotFound, Object, Objects, Ref

__all__ = ["Janitor"]

_AGAIN_S = 0.5
_UNSERVED_S = 5.0
_log = logging.getLogger(__name__)


class Janitor:
    """Completes resources of the nodes that `repair` serves."""

    def __init__(self, objects: Objects, repair: NodeRepair, config: ResponderConfig) -> None:
        self._objects = objects
        self._repair = repair
        self._signal_s = config.signal_delay_s
        self._delay_s = max(0.0, config.janitor_delay_s - config.signal_delay_s)
        self._in_hand: set[Ref] = set()

    async def run(self) -> None:
        """Follow both kinds until cancelled."""
        async with anyio.create_task_group() as tasks:
            for kind in names.COMPLETE_CONDITION:
                tasks.start_soon(self._follow, kind, tasks)

    async def _follow(self, kind: str, tasks: TaskGroup) -> None:
        while True:
            try:
                async for seen in follow(self._objects, kind):
                    if self._is_open(seen):
                        self._in_hand.add(seen.ref)
                        tasks.start_soon(self._complete, seen.ref)
            except NotFound:
                _log.warning("the cluster does not serve %s (yet)", kind)
                await anyio.sleep(_UNSERVED_S)

    def _is_open(self, seen: Seen) -> bool:
        if seen.object is None or seen.ref in self._in_hand:
            return False
        key, value = names.MANAGED_BY
        ours = (seen.object["metadata"].get("labels") or {}).get(key) == value
        return (
            ours and self._repair.reaches(seen.object["spec"]["nodeName"]) and not _is_completed(seen.object)
        )

    async def _complete(self, ref: Ref) -> None:
        """Begin the repair, and later complete it; what cannot be written is tried again."""
        try:
            for delay_s, step in ((self._signal_s, _begun), (self._delay_s, self._done)):
                wait = delay_s
                while True:
                    await anyio.sleep(wait)
                    if await self._tried(ref, step):
                        break
                    wait = _AGAIN_S
        except NotFound:
            _log.info("%s was deleted before it was completed", ref)
        finally:
            self._in_hand.discard(ref)

    async def _tried(self, ref: Ref, step: Callable[[Object], dict[str, Any]]) -> bool:
        """Try once; whether the resource needs no further attempt. Raises NotFound."""
        try:
            resource = await self._objects.get(ref)
            if not _is_completed(resource):
                await self._objects.patch(ref, step(resource), status=True)
        except (Conflict, Retryable) as err:
            _log.warning("%s will be retried: %s", ref, err)
            return False
        return True

    def _done(self, resource: Object) -> dict[str, Any]:
        """Repair the node; returns the status patch with the result."""
        kind, spec = resource["kind"], resource["spec"]
        status, message = "True", "simulated by the stand-in responder"
        try:
            if kind == names.REBOOT:
                self._repair.reboot(spec["nodeName"])
            else:
                self._repair.reset(spec["nodeName"], spec["selector"]["uuids"])
        except RepairError as err:
            _log.error("%s: %s", Ref.of(resource), err)
            status, message = "False", str(err)
        _log.info("%s completed (simulated): %s", Ref.of(resource), status)
        return _status_patch(resource, status, message)


def _is_completed(resource: Object) -> bool:
    return any(
        condition["type"] == names.COMPLETE_CONDITION[resource["kind"]] and condition["status"] != "Unknown"
        for condition in resource.get("status", {}).get("conditions") or []
    )


def _begun(resource: Object) -> dict[str, Any]:
    """The status patch that says that the repair has begun."""
    now = kube_time(datetime.now(UTC))
    signal = {"type": names.SIGNAL_SENT, "status": "True", "reason": "Simulated", "lastTransitionTime": now}
    return _patch(resource, {"startTime": now, "conditions": [signal]})


def _status_patch(resource: Object, status: str, message: str) -> dict[str, Any]:
    now = kube_time(datetime.now(UTC))
    done = {
        "type": names.COMPLETE_CONDITION[resource["kind"]],
        "status": status,
        "reason": "Simulated" if status == "True" else "Failed",
        "message": message,
        "lastTransitionTime": now,
    }
    begun = (resource.get("status") or {}).get("conditions") or []
    return _patch(resource, {"completionTime": now, "conditions": [*begun, done]})


def _patch(resource: Object, status: Mapping[str, Any]) -> dict[str, Any]:
    return {"metadata": {"resourceVersion": resource["metadata"]["resourceVersion"]}, "status": status}
