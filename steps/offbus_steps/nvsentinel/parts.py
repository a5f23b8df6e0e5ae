"""NVSentinel's programs, by the names of their containers, and which of them act on nodes. Cheap to import.

Source: the charts of NVIDIA/NVSentinel, one for each of these.
"""

from collections.abc import Mapping
from enum import StrEnum

__all__ = ["ACTING", "Act", "Part"]


class Part(StrEnum):
    """One of its programs."""

    FAULT_QUARANTINE = "fault-quarantine"
    NODE_DRAINER = "node-drainer"
    FAULT_REMEDIATION = "fault-remediation"
    JANITOR = "janitor"
    JANITOR_PROVIDER = "janitor-provider"
    PLATFORM_CONNECTORS = "platform-connectors"
    HEALTH_EVENTS_ANALYZER = "health-events-analyzer"
    LIFECYCLE_MANAGER = "lifecycle-manager"


class Act(StrEnum):
    """What a responder does to a node beyond its marks, and leaves out in a dry run.

    A step type that waits for one says so: `StepType(waits_for=(Act.DRAIN,))`.
    """

    CORDON = "cordon"
    DRAIN = "drain"
    REPAIR = "repair"
    VALIDATE = "validate"
    UNCORDON = "uncordon"


ACTING: Mapping[str, tuple[Act, ...]] = {
    Part.FAULT_QUARANTINE: (Act.CORDON, Act.UNCORDON, Act.VALIDATE),
    Part.NODE_DRAINER: (Act.DRAIN,),
    Part.FAULT_REMEDIATION: (Act.REPAIR,),
}
"""The parts that act on nodes (the stand-in's controller does what all of them do), each with what it does: while it is
in dry run, what waits for that cannot pass. Without the quarantine's own uncordon nobody asks for a validation."""
