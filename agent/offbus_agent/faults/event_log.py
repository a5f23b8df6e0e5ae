"""The events of each fault, in order, and long polls for them.

Job: number and append events, return those after N, and let long polls wait for the next one. It stores nothing itself:
events are in the stored fault, and the caller that appends one saves the store.
"""

import asyncio
from contextlib import suppress
from typing import Any

from offbus_agent.faults.store import StoredFault
from offbus_agent.lease_time import boottime_ns
from offbus_agent.models import EventsAnswer, FaultEvent, Kind

__all__ = ["EventLog"]


class EventLog:
    """The event lists of all faults, with one alarm for each fault that a long poll waits for."""

    def __init__(self) -> None:
        self._alarms: dict[str, asyncio.Event] = {}

    def append(self, stored: StoredFault, kind: Kind, at_ns: int | None = None, **facts: Any) -> None:
        """Add an event and wake the long polls."""
        at = boottime_ns() if at_ns is None else at_ns
        stored.events.append(FaultEvent(seq=len(stored.events) + 1, at_ns=at, kind=kind, **facts))
        alarm = self._alarms.pop(stored.fault.id, None)
        if alarm is not None:
            alarm.set()

    async def after(self, stored: StoredFault, since: int, wait_s: float) -> EventsAnswer:
        """Events with a `seq` above `since`; waits up to `wait_s` for the first."""
        if len(stored.events) <= since and wait_s > 0:
            alarm = self._alarms.setdefault(stored.fault.id, asyncio.Event())
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await alarm.wait()
        return EventsAnswer(next=max(since, len(stored.events)), events=stored.events[since:])
