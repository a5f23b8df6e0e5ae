"""Drops repeats of a fault within a window, as NVSentinel's platform-connectors do (default 3 minutes).

The key is node, check, entities and codes; text and process do not count. A healthy event removes the faults that it
clears, so that a new fault right after a repair is not a repeat. In memory: lost at a restart; of more than 4096 faults
the oldest is forgotten, and told again. Must not: read its own clock; the caller's is monotonic, in seconds.
"""

from collections.abc import Callable

from offbus_sandbox.responder.detector.latest import note
from offbus_sandbox.responder.health_event import HealthEvent

__all__ = ["Dedup"]

_MOST_FAULTS = 4096
"""Every XID on each of 16 GPUs are 2,752."""


class Dedup:
    """One node's memory of recent faults."""

    def __init__(self, window_s: float, clock: Callable[[], float]) -> None:
        self._window_s = window_s
        self._clock = clock
        self._last: dict[tuple[object, ...], tuple[float, HealthEvent]] = {}

    def admits(self, event: HealthEvent) -> bool:
        """Whether to publish the event; it is then remembered (a healthy one removes what it clears)."""
        if event.isHealthy:
            self._last = {
                key: (at, fault) for key, (at, fault) in self._last.items() if not event.clears(fault)
            }
            return True
        now = self._clock()
        seen = self._last.get(event.key)
        if seen is not None and now - seen[0] < self._window_s:
            return False
        note(self._last, event.key, (now, event), _MOST_FAULTS)
        return True
