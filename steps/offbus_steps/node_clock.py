"""Maps a node's CLOCK_BOOTTIME to the runner's clock, by round trip.

A read of the agent's clock that was sent at `a` and answered at `b` (runner's clock) happened somewhere between: the
offset is taken at the middle, its error is at most half the round trip. The shortest round trip so far is kept per boot
id; a reboot of the node starts over. Times are never compared across clocks without that error.
"""

import time
from dataclasses import dataclass

from offbus.recorder import Moment

__all__ = ["NodeClocks", "now_ns"]

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def now_ns() -> int:
    """The runner's monotonic clock, the same as the journal's (offbus.runner.clock.SystemClock)."""
    return time.clock_gettime_ns(_CLOCK)


@dataclass(frozen=True, slots=True)
class _Offset:
    boot_id: str
    offset_ns: int
    error_ns: int


class NodeClocks:
    """The known offsets of the nodes' clocks."""

    def __init__(self) -> None:
        self._known: dict[str, _Offset] = {}

    def learn(self, node: str, *, boot_id: str, node_ns: int, sent_ns: int, back_ns: int) -> None:
        """Record one round trip: the node's clock read `node_ns` between `sent_ns` and `back_ns` of the runner."""
        error = (back_ns - sent_ns + 1) // 2
        known = self._known.get(node)
        if known is None or known.boot_id != boot_id or error < known.error_ns:
            self._known[node] = _Offset(boot_id, (sent_ns + back_ns) // 2 - node_ns, error)

    def moment(self, node: str, node_ns: int) -> Moment | None:
        """A time of the node's clock on the runner's clock; None before the first round trip."""
        known = self._known.get(node)
        if known is None:
            return None
        return Moment(mono_ns=node_ns + known.offset_ns, error_ns=known.error_ns, clock=known.boot_id)
