"""The events of each fault, in order; long polls for them; and the history of all of them, for streams.

Job: number and append events, return those after N, and let long polls and streams wait for the next one. It stores
nothing itself: events are in the stored fault, and the caller that appends one saves the store. The history is this
process's alone, and bounded.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from offbus_agent.faults.store import StoredFault
from offbus_agent.lease_time import boottime_ns
from offbus_agent.models import EventsAnswer, FaultEvent, Kind

__all__ = ["HISTORY", "EventLog", "History"]

HISTORY = 512
"""Events of all faults that a stream can go on after."""


class History:
    """The latest events of all faults, numbered from 1. A mark names one: it says of which process it is, too."""

    def __init__(self, most: int = HISTORY) -> None:
        self._events: deque[tuple[int, str, FaultEvent]] = deque(maxlen=most)
        self._process = secrets.token_hex(4)
        self._last = 0
        self._news = asyncio.Event()

    def add(self, fault: str, event: FaultEvent) -> None:
        """The newest one."""
        self._last += 1
        self._events.append((self._last, fault, event))
        self._news.set()
        self._news = asyncio.Event()

    def mark(self, number: int) -> str:
        """The name of an event, or of the moment before the first one."""
        return f"{self._process}-{number}"

    def resume(self, mark: str | None) -> tuple[int, str]:
        """The number after which to go on, and what was missed: "" for nothing. Without a mark: after the newest."""
        if not mark:
            return self._last, ""
        process, _, number = mark.partition("-")
        if process != self._process or not number.isascii() or not number.isdecimal():
            oldest = self._events[0][0] - 1 if self._events else self._last
            return oldest, "that event is not of this agent's process: it was started again; GET /faults"
        return self.caught_up(min(int(number[:18]), self._last))

    def caught_up(self, since: int) -> tuple[int, str]:
        """The same for a number: later, where the events after it are gone."""
        oldest = self._events[0][0] - 1 if self._events else self._last
        if since >= oldest:
            return since, ""
        return oldest, f"{oldest - since} events are no longer here; GET /faults has the state of all"

    def after(self, number: int) -> Iterator[tuple[int, str, FaultEvent]]:
        """Number, fault and event of each later one, as there are now."""
        return iter([one for one in self._events if one[0] > number])

    async def more(self, number: int, within_s: float) -> bool:
        """Wait until there is a later one; whether there is."""
        if self._last <= number:
            with suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    await self._news.wait()
        return self._last > number


class EventLog:
    """The event lists of all faults, with one alarm for each fault that a long poll waits for."""

    def __init__(self) -> None:
        self._alarms: dict[str, asyncio.Event] = {}
        self.history = History()

    def append(self, stored: StoredFault, kind: Kind, at_ns: int | None = None, **facts: Any) -> None:
        """Add an event and wake the long polls and streams."""
        at = boottime_ns() if at_ns is None else at_ns
        event = FaultEvent(seq=len(stored.events) + 1, at_ns=at, kind=kind, **facts)
        stored.events.append(event)
        self.history.add(stored.fault.id, event)
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
