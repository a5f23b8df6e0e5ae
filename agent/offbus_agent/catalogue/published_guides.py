"""What the published guides say of an XID's severity and recovery: information, which nothing goes by.

Sources: the GPU fault injection testing guide ("Available XID Errors", "Wait Times by Severity"), and the hardware
fault tolerance guide ("Supported XID Types"), of ai-dynamo/dynamo. The two do not agree on everything.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from offbus_agent.catalogue.xid_effects import Severity

__all__ = ["HARDWARE_GUIDE", "TOLD", "WAITS", "Told", "Waits"]


@dataclass(frozen=True, slots=True)
class Told:
    """One row of the testing guide's table."""

    simulates: str
    recovery_time: str


@dataclass(frozen=True, slots=True)
class Waits:
    """How long the testing guide waits, by severity."""

    after_injection: str
    after_recovery: str


TOLD: Mapping[int, Told] = {
    43: Told("CUDA kernel assertion failure", "about 30 s (fast)"),
    48: Told("Double-bit ECC error (uncorrectable memory)", "about 2 min (slow)"),
    74: Told("NVLink communication failure", "about 1 min (medium)"),
    79: Told("GPU fell off bus (complete failure)", "about 5 min (very slow)"),
    94: Told("Contained ECC error (correctable)", "about 15 s (fast)"),
    95: Told("Uncontained memory corruption", "about 5 min (very slow)"),
    119: Told("GPU firmware/GSP failure", "about 1 min (medium)"),
    120: Told("GPU resource exhaustion", "about 1 min (medium)"),
}

WAITS: Mapping[Severity, Waits] = {
    Severity.LOW: Waits("5-10 s", "5-10 s"),
    Severity.MEDIUM: Waits("10-15 s", "15-30 s"),
    Severity.HIGH: Waits("15-30 s", "30-60 s"),
    Severity.CRITICAL: Waits("30-60 s", "180-300 s (pods are scheduled again)"),
}

HARDWARE_GUIDE: Mapping[int, str] = {
    43: "varies",
    48: "critical",
    74: "varies",
    79: "critical, requires reboot",
    94: "recoverable",
    95: "recoverable",
}
"""The hardware guide's severity, in its words."""
