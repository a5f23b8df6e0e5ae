"""The rule of NVSentinel's circuit breaker, with its chart's numbers (charts/fault-quarantine). Cheap to import, pure.

A plan's look at a responder and the stand-in go by it.
"""

from datetime import timedelta
from math import ceil

__all__ = ["CLOSED", "PERCENTAGE", "TRIPPED", "WINDOW", "limit"]

CLOSED, TRIPPED = "CLOSED", "TRIPPED"
"""The states, in key `status` of its ConfigMap."""
PERCENTAGE, WINDOW = 50.0, timedelta(minutes=5)
"""NVSentinel's defaults, and the stand-in's."""


def limit(nodes: int, percentage: float) -> int:
    """How many of so many GPU nodes have to be cordoned within the window for it to trip."""
    return ceil(nodes * percentage / 100)
