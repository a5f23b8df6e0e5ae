"""A health event: the detector's finding about the node, and its text in a node condition.

Field names are those of NVSentinel's protobuf `HealthEvent` (data-models/protobufs/health_event.proto) in the JSON that
its fault-quarantine writes into `quarantineHealthEvent`: numbers for enums, `{seconds, nanos}` for times, and no field
that is false or empty (reference/nvsentinel-observed.md). Must not: decide anything.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from offbus_steps.nvsentinel import names
from offbus_steps.nvsentinel.findings import entry_head
from offbus_steps.nvsentinel.names import RecommendedAction

__all__ = ["EXECUTE_REMEDIATION", "Entity", "HealthEvent", "annotation_event", "entry_text", "parse_entry"]

EXECUTE_REMEDIATION = 1
"""The protobuf's `ProcessingStrategy` of events that are acted on."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Entity(_Model):
    """One affected entity: `PCI 0000:3b:00`, `GPU_UUID GPU-…`."""

    entityType: str  # noqa: N815 - the protobuf's JSON name
    entityValue: str  # noqa: N815


class HealthEvent(_Model):
    """One event. Healthy events have no error code; without entities they clear the whole check."""

    version: int = 1
    agent: str = names.AGENT
    componentClass: str = "GPU"  # noqa: N815
    checkName: str = names.XID_CHECK  # noqa: N815
    isFatal: bool = False  # noqa: N815
    isHealthy: bool = False  # noqa: N815
    message: str = ""
    recommendedAction: RecommendedAction = RecommendedAction.NONE  # noqa: N815
    errorCode: tuple[str, ...] = ()  # noqa: N815
    entitiesImpacted: tuple[Entity, ...] = ()  # noqa: N815
    metadata: dict[str, str] = Field(default_factory=dict)
    generatedTimestamp: datetime | None = None  # noqa: N815
    nodeName: str = ""  # noqa: N815
    processingStrategy: int = EXECUTE_REMEDIATION  # noqa: N815
    id: str = ""
    """The document's id in the datastore: a UUID, as with PostgreSQL."""

    @field_validator("generatedTimestamp", mode="before")
    @classmethod
    def _time(cls, value: Any) -> Any:
        """The protobuf's `{seconds, nanos}`, too."""
        if isinstance(value, dict):
            return datetime.fromtimestamp(value.get("seconds", 0) + value.get("nanos", 0) / 1e9, UTC)
        return value

    @property
    def keys(self) -> frozenset[tuple[str, ...]]:
        """What fault-quarantine tracks of it: one key for each entity and error code (`HealthEventKey`)."""
        about = (self.agent, self.componentClass, self.checkName, self.nodeName, str(self.version))
        entities = [(one.entityType, one.entityValue) for one in self.entitiesImpacted] or [("", "")]
        return frozenset((*about, *one, code) for one in entities for code in self.errorCode or ("",))

    def left_by(self, healthy: "HealthEvent") -> frozenset[tuple[str, ...]]:
        """What is still tracked of this event after a healthy one, which ends the entities that it names.

        Without an error code it ends every code, without entities the whole check (`RemoveEvent`). The annotation keeps
        whole events, so what one healthy event leaves of an event is not ended by the next one either.
        """
        same = (self.agent, self.componentClass, self.checkName, self.nodeName, self.version)
        if same != (
            healthy.agent,
            healthy.componentClass,
            healthy.checkName,
            healthy.nodeName,
            healthy.version,
        ):
            return self.keys
        named = {(one.entityType, one.entityValue) for one in healthy.entitiesImpacted}
        return frozenset(
            key
            for key in self.keys
            if (named and key[-3:-1] not in named) or (healthy.errorCode and key[-1] not in healthy.errorCode)
        )

    @property
    def key(self) -> tuple[object, ...]:
        """What makes two events the same fault (as in NVSentinel's platform-connectors dedup)."""
        entities = sorted((e.entityType, e.entityValue) for e in self.entitiesImpacted)
        return (self.nodeName, self.checkName, tuple(entities), self.errorCode)

    def clears(self, other: "HealthEvent") -> bool:
        """Whether this healthy event ends that fault (K8sConnector: all of its entities must match;
        GPU_UUID is not compared when the GPU's PCI address is there)."""
        if not self.isHealthy or self.checkName != other.checkName:
            return False
        if self.errorCode and self.errorCode != other.errorCode:
            return False
        return _compared(self.entitiesImpacted) <= _compared(other.entitiesImpacted)


def annotation_event(event: HealthEvent) -> dict[str, Any]:
    """The event as fault-quarantine writes it into the node's annotation."""
    found = event.model_dump(mode="json", exclude={"generatedTimestamp"})
    if event.generatedTimestamp is not None:
        seconds = event.generatedTimestamp.timestamp()
        nanos = event.generatedTimestamp.microsecond * 1000
        found["generatedTimestamp"] = {"seconds": int(seconds), "nanos": nanos}
    return {key: value for key, value in found.items() if value}


def _compared(entities: Iterable[Entity]) -> set[tuple[str, str]]:
    pairs = {(e.entityType, e.entityValue) for e in entities}
    has_pci = any(kind in ("PCI", "GPU") for kind, _ in pairs)
    return {pair for pair in pairs if not (has_pci and pair[0] == "GPU_UUID")}


def entry_text(event: HealthEvent, *, compact: bool = False) -> str:
    """The event's entry in the condition's message, with its closing `;` (K8sConnector's format)."""
    words = [f"ErrorCode:{code}" for code in event.errorCode]
    words += [f"{e.entityType}:{e.entityValue}" for e in event.entitiesImpacted]
    if not compact:
        words.append(event.message.replace(";", "."))
    words.append(f"Recommended Action={event.recommendedAction.name};")
    return " ".join(words)


def parse_entry(entry: str, *, node: str, check: str) -> HealthEvent | None:
    """The fault that an entry describes; None for a truncated entry or somebody else's text."""
    codes, entities, text, action = entry_head(entry)
    if action not in RecommendedAction.__members__:
        return None
    return HealthEvent(
        checkName=check,
        isFatal=True,
        message=text,
        recommendedAction=RecommendedAction[action],
        errorCode=codes,
        entitiesImpacted=tuple(Entity(entityType=kind, entityValue=value) for kind, value in entities),
        nodeName=node,
    )
