"""The runner's clocks, behind one small interface so that tests run on virtual time."""

import time
from datetime import UTC, datetime
from typing import Protocol

from offbus.journal.lock import boot_id

__all__ = ["Clock", "SystemClock"]


class Clock(Protocol):
    """Where the times in a journal come from."""

    boot_id: str

    def mono_ns(self) -> int:
        """A clock that never goes back, in nanoseconds; it runs on while the machine is suspended."""

    def utc(self) -> str:
        """Now, as journals write it."""


class SystemClock:
    """CLOCK_BOOTTIME where there is one (Linux), else the monotonic clock."""

    def __init__(self) -> None:
        self._id = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
        self.boot_id = boot_id()
        self._second = (-1, "")

    def mono_ns(self) -> int:
        """Nanoseconds since boot."""
        return time.clock_gettime_ns(self._id)

    def utc(self) -> str:
        """UTC with microseconds. The date is formatted once a second: this is called for every event."""
        second, ns = divmod(time.time_ns(), 1_000_000_000)
        if self._second[0] != second:
            self._second = (second, datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S"))
        return f"{self._second[1]}.{ns // 1000:06d}Z"
