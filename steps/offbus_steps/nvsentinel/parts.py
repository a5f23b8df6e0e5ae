"""NVSentinel's programs, by the names of their containers, and which of them act on nodes. Cheap to import.

Source: the charts of NVIDIA/NVSentinel, one for each of these.
"""

from collections.abc import Mapping
from enum import StrEnum

__all__ = ["ACTING", "Part"]


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


ACTING: Mapping[str, tuple[str, ...]] = {
    Part.FAULT_QUARANTINE: ("await_cordon", "await_uncordon", "await_validation"),
    Part.NODE_DRAINER: ("await_drain",),
    Part.FAULT_REMEDIATION: ("await_remediation",),
}
"""The parts that act on nodes (the stand-in's controller does what all of them do), each with the step types that wait
for what it does: while it is in dry run, they cannot pass."""
