"""Time on a node: the boot clock, the boot id, and when a lease has expired.

Job: pure functions on leases, and the two readings that they need. A lease is a point in CLOCK_BOOTTIME of one boot: it
includes suspended time, no clock setting changes it, and a reboot ends it. Nothing here waits.
"""

import time
from collections.abc import Iterable
from pathlib import Path

from offbus_agent.models import Fault, State

__all__ = ["boot_id", "boottime_ns", "expires_ns", "has_expired", "seconds_to_next"]

NS = 1_000_000_000


def boottime_ns() -> int:
    """CLOCK_BOOTTIME in nanoseconds."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def boot_id() -> str:
    """The kernel's random id of this boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def expires_ns(now_ns: int, ttl_s: float) -> int:
    """The end of a lease that starts now."""
    return now_ns + int(ttl_s * NS)


def has_expired(fault: Fault, now_ns: int) -> bool:
    """Whether the fault is armed and its lease is over."""
    return fault.state is State.ARMED and fault.expires_ns <= now_ns


def seconds_to_next(faults: Iterable[Fault], now_ns: int) -> float | None:
    """Seconds until the next armed fault expires, never negative; None when none is armed."""
    ends = [fault.expires_ns for fault in faults if fault.state is State.ARMED]
    return max(0, min(ends) - now_ns) / NS if ends else None
