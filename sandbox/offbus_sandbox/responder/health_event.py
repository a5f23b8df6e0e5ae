"""A health event: the detector's finding about the node, and its text in a node condition.

Field names are those of NVSentinel's protobuf `HealthEvent` (data-models/protobufs/health_event.proto) in the JSON that
its fault-quarantine writes into `quarantineHealthEvent`. The condition's text is the interface between detector and
controller, so this module both writes and parses an entry. Must not: decide anything.
"""

from collections.abc import Iterable
from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from offbus_steps.nvsentinel import names
from offbus_steps.nvsentinel.findings import entry_head
from offbus_steps.nvsentinel.names import RecommendedAction

__all__ = ["Entity", "HealthEvent", "entry_text", "parse_entry"]


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
    id: str = ""
    """The document's id in NVSentinel's database; here set at the quarantine."""

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
