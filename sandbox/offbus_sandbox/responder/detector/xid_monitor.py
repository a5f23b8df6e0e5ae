"""From a journal entry to health events: NVSentinel's handlers of XIDs and of GPUs that are gone; I/O: the metadata.

Order as in its syslog-health-monitor/pkg/xid/xid_handler.go: address line, reset line, XID; then pkg/gpufallen, which a
line with an XID does not reach. SXIDs are not handled: a sandbox has no NVSwitch. A reset line for a GPU that
the metadata does not list raises `Stuck`: the real monitor tries such an entry again for ever, and sees nothing after
it. Must not: dedupe or publish.
"""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from offbus_agent.catalogue.responder_action import Monitor
from offbus_agent.catalogue.sxid import FALLEN_OFF_CODE
from offbus_sandbox.responder.detector.gpu_metadata import Gpu, Metadata
from offbus_sandbox.responder.detector.latest import note
from offbus_sandbox.responder.detector.xid_line import (
    FallenOff,
    XidReport,
    parse_fallen_off,
    parse_gpu_address,
    parse_gpu_reset,
    parse_xid,
)
from offbus_sandbox.responder.health_event import Entity, HealthEvent
from offbus_steps.nvsentinel import names
from offbus_steps.nvsentinel.cause import normalise_pci
from offbus_steps.nvsentinel.findings import NO_FAILURES
from offbus_steps.nvsentinel.names import RecommendedAction

__all__ = ["Stuck", "XidMonitor"]

_CANCELS = {162: "163"}
"""NVSentinel's shipped cancellations.toml: 162 on the same entities ends 163."""
_CANCELLED_BY = "nvsentinel.nvidia.com/cancel-source-error-code"
"""The key by which such an event says what ended the fault (xid_handler.go)."""


_XID_TELLS_IT_S = 300.0
"""gpufallen_handler.go: so long after an XID of a GPU its line without one is left out."""
_MOST_KNOWN = 1024
"""Addresses of which something is remembered; a node has 16 GPUs at most, and a log may spell any others."""


class Stuck(Exception):
    """Raised for an entry that the real monitor tries again for ever."""


class XidMonitor:
    """Handles one node's entries. `metadata` is asked for every entry."""

    def __init__(
        self,
        node: str,
        metadata: Callable[[], Metadata],
        *,
        only_known_gpus: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._node = node
        self._metadata = metadata
        self._only_known = only_known_gpus
        self._seen_uuids: dict[str, str] = {}
        self._clock = clock
        self._xid_at: dict[str, float] = {}
        """By the address as the line spelt it: when it last had an XID."""
        self.fell_off = False
        """Whether a GPU that is gone was found since the last reboot, also by a monitor before this one."""

    def process(self, message: str) -> Sequence[HealthEvent]:
        """The events of one entry's MESSAGE, in order; mostly none. Raises Stuck."""
        if (address := parse_gpu_address(message)) is not None:
            note(self._seen_uuids, normalise_pci(address.pci), address.uuid, _MOST_KNOWN)
            return ()
        if (reset := parse_gpu_reset(message)) is not None:
            return self._reset(reset.uuid, success=reset.success)
        metadata = self._metadata()
        report = parse_xid(message)
        if report is None:
            fallen = parse_fallen_off(message)
            return () if fallen is None else self._fallen_off(fallen, message, metadata)
        if self._only_known and metadata.at(report.pci) is None:
            return ()
        note(self._xid_at, report.pci, self._clock(), _MOST_KNOWN)
        return self._xid(report, message, metadata)

    def rebooted(self) -> Sequence[HealthEvent]:
        """The healthy events after the node's boot id changed: each clears a whole check.

        The real monitor sends one for each of its checks; this one, for that of GPUs that fell off only after it found
        one, so that no node has a condition of a check that was never needed.
        """
        checks = [names.XID_CHECK, *([names.FALLEN_OFF_CHECK] if self.fell_off else [])]
        return [self._event(checkName=check, isHealthy=True, message=NO_FAILURES) for check in checks]

    def _fallen_off(self, found: FallenOff, message: str, metadata: Metadata) -> Sequence[HealthEvent]:
        """Nothing for a GPU that had an XID in the last minutes: that one tells the same. Addresses count as spelt."""
        known = not self._only_known or metadata.at(found.pci) is not None
        if not known or self._clock() - self._xid_at.get(found.pci, -_XID_TELLS_IT_S) < _XID_TELLS_IT_S:
            return ()
        self.fell_off = True
        device = [Entity(entityType="PCI_ID", entityValue=found.pci_id)] if found.pci_id else []
        fault = self._event(
            checkName=names.FALLEN_OFF_CHECK,
            isFatal=True,
            message=f"MESSAGE={message}",
            recommendedAction=RecommendedAction.RESTART_BM,
            errorCode=(FALLEN_OFF_CODE,),
            entitiesImpacted=(Entity(entityType="PCI", entityValue=found.pci), *device),
            metadata=dict(metadata.labels),
        )
        return (fault,)

    def _xid(self, report: XidReport, message: str, metadata: Metadata) -> Sequence[HealthEvent]:
        gpu = metadata.at(report.pci)
        entities = (*self._gpu_entities(report.pci, gpu), *report.details)
        action = report.action(Monitor.of(metadata.driver_version, lists_gpu=gpu is not None))
        fault = self._event(
            isFatal=action is not RecommendedAction.NONE,
            message=f"MESSAGE={message}",  # sdjournal returns the field's name too, and NVSentinel keeps it
            recommendedAction=action,
            errorCode=(report.code,),
            entitiesImpacted=entities,
            metadata=dict(metadata.labels),
        )
        cancelled = _CANCELS.get(report.number)
        if cancelled is None:
            return (fault,)
        healthy = self._event(
            isHealthy=True,
            message=f"Cancelled by {fault.checkName} error code {report.code}",
            errorCode=(cancelled,),
            entitiesImpacted=entities,
            metadata={_CANCELLED_BY: report.code},
        )
        return (fault, healthy)

    def _gpu_entities(self, pci: str, gpu: Gpu | None) -> tuple[Entity, ...]:
        uuid = gpu.uuid if gpu is not None else self._seen_uuids.get(normalise_pci(pci), "")
        pci_entity = Entity(entityType="PCI", entityValue=pci)
        return (pci_entity, Entity(entityType="GPU_UUID", entityValue=uuid)) if uuid else (pci_entity,)

    def _reset(self, uuid: str, *, success: bool) -> Sequence[HealthEvent]:
        gpu = next((one for one in self._metadata().gpus if one.uuid == uuid), None)
        if gpu is None:
            if self._only_known:
                return ()
            raise Stuck(f"a reset of {uuid}, which the metadata did not list when this monitor started")
        entities = self._gpu_entities(gpu.pci_address.partition(".")[0], gpu)
        if success:
            return (self._event(isHealthy=True, message=NO_FAILURES, entitiesImpacted=entities),)
        failed = self._event(
            isFatal=True,
            message="GPU reset failed, proceeding with a node reboot",
            recommendedAction=RecommendedAction.RESTART_VM,
            errorCode=("GPU_RESET_FAILURE",),
            entitiesImpacted=entities,
        )
        return (failed,)

    def _event(self, **fields: object) -> HealthEvent:
        made = {"nodeName": self._node, "generatedTimestamp": datetime.now(UTC), **fields}
        return HealthEvent.model_validate(made)
