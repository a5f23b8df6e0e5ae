"""The responder's datastore: every health event of a node, and how far the responder has dealt with it.

What happens to a node follows from these documents, never from its labels and annotations: a node whose marks were
removed by hand is still drained and repaired (reference/nvsentinel-observed.md, "What undoes a fault"). As NVSentinel's
`HealthEventWithStatus`: a detector inserts an event; fault-quarantine sets `nodequarantined`, node-drainer
`userpodsevictionstatus`, fault-remediation `faultremediated`.

It is one ConfigMap a node, `health-events-NODE` in the responder's namespace, a key for each event: it survives every
program, and can be read with kubectl. A detector only adds keys and the controller alone changes them, so neither has
to know the other's version. The documents that ended beyond the newest 50 of a node are dropped. Raises what the port
raises. A key that is no document (somebody else's) is skipped, and logged.
"""

import logging
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from offbus_sandbox.responder.health_event import HealthEvent
from offbus_steps.nvsentinel.recent_cordons import EVENTS_LABEL, EVENTS_PREFIX
from offbus_steps.port import Conflict, NotFound, Object, Objects, Ref

__all__ = ["LABEL", "Datastore", "Document", "Eviction", "Quarantine"]

LABEL = EVENTS_LABEL
"""Of these ConfigMaps; a controller watches them by it."""
RETAINED = 50
"""Documents that ended, of each node."""
_log = logging.getLogger(__name__)


class Quarantine(StrEnum):
    """NVSentinel's `nodequarantined`: what fault-quarantine did about an event."""

    QUARANTINED = "Quarantined"
    ALREADY_QUARANTINED = "AlreadyQuarantined"
    UNQUARANTINED = "UnQuarantined"
    CANCELLED = "Cancelled"
    """Somebody uncordoned the node by hand: nothing more is done about the event."""


HOLDS = frozenset({Quarantine.QUARANTINED, Quarantine.ALREADY_QUARANTINED})


class Eviction(StrEnum):
    """NVSentinel's `userpodsevictionstatus`: how far node-drainer is."""

    NOT_STARTED = "NotStarted"
    IN_PROGRESS = "InProgress"
    SUCCEEDED = "Succeeded"
    ALREADY_DRAINED = "AlreadyDrained"
    CANCELLED = "Cancelled"


DRAINED = frozenset({Eviction.SUCCEEDED, Eviction.ALREADY_DRAINED})


class Document(BaseModel):
    """One event, and its status. The id is the event's."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    event: HealthEvent
    createdAt: datetime  # noqa: N815 - NVSentinel's name, as the others
    processed: bool = False
    """Whether fault-quarantine has seen it: NVSentinel keeps the last one's position instead."""
    nodequarantined: Quarantine | None = None
    userpodsevictionstatus: Eviction = Eviction.NOT_STARTED
    faultremediated: bool | None = None

    @classmethod
    def of(cls, event: HealthEvent, now: datetime) -> Self:
        """A new event's document, with an id of its own."""
        return cls(event=event.model_copy(update={"id": str(uuid.uuid4())}), createdAt=now)

    @property
    def holds(self) -> bool:
        """Whether the node is in quarantine because of it, as far as the datastore says."""
        return self.nodequarantined in HOLDS and not self.event.isHealthy

    @property
    def to_drain(self) -> bool:
        """Whether node-drainer works on it, or will."""
        return self.holds and self.userpodsevictionstatus in (Eviction.NOT_STARTED, Eviction.IN_PROGRESS)

    @property
    def to_remediate(self) -> bool:
        """Whether fault-remediation will act on it next."""
        return self.holds and self.userpodsevictionstatus in DRAINED and self.faultremediated is None

    @property
    def is_live(self) -> bool:
        """Whether the responder will still do something because of it."""
        return not self.processed or self.to_drain or self.to_remediate


@dataclass(frozen=True, slots=True)
class Datastore:
    """The datastore of one cluster."""

    _objects: Objects
    namespace: str

    def ref(self, node: str) -> Ref:
        """Where a node's documents are."""
        return Ref("ConfigMap", f"{EVENTS_PREFIX}{node}", self.namespace)

    def node_of(self, ref: Ref) -> str:
        """Whose documents these are."""
        return ref.name.removeprefix(EVENTS_PREFIX)

    async def documents(self, node: str) -> Sequence[Document]:
        """All documents of a node, oldest first."""
        try:
            found = await self._objects.get(self.ref(node))
        except NotFound:
            return ()
        read = []
        for key, text in (found.get("data") or {}).items():
            try:
                read_one = Document.model_validate_json(text)
            except ValidationError:
                read_one = None
            if read_one is not None and read_one.event.id == key:
                read.append(read_one)
            else:
                _log.error("%s in the datastore is no event: skipped", key)
        return sorted(read, key=lambda one: (one.createdAt, one.event.id))

    async def trim(self, node: str, documents: Sequence[Document]) -> None:
        """Drop what ended and is older than the newest `RETAINED` that ended."""
        ended = [one for one in documents if not one.is_live]
        if old := {one.event.id: None for one in ended[:-RETAINED]}:
            await self._objects.patch(self.ref(node), {"data": old})

    async def write(self, node: str, documents: Iterable[Document]) -> None:
        """Add documents, or replace them by their new versions."""
        data = {one.event.id: one.model_dump_json(exclude_defaults=True) for one in documents}
        if not data:
            return
        ref, (key, value) = self.ref(node), LABEL
        metadata = {"name": ref.name, "namespace": ref.namespace, "labels": {key: value}}
        made: Object = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
        while True:
            try:
                await self._objects.patch(ref, {"data": data})
            except NotFound:
                try:
                    await self._objects.create(made)
                except Conflict:
                    continue  # another program has made it in between
            return
