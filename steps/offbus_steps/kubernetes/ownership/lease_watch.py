"""Watches the Lease of a cluster's runs until it has expired: unrenewed for its whole duration, as seen from here.

Time is this process's monotonic clock, from the moment at which a version of the Lease was first seen here. The times
that owners write into it are never read. A watch that broke (the API server was away, so nobody could renew) begins
anew. Records without a Lease are an owner's that died between the two: they expire in the same way.

Each owner after the first one doubles the wait, so that a run that cannot be finished is tried ever more rarely.
"""

from collections.abc import Iterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, cast

import anyio
import structlog

from offbus_steps.kubernetes.ownership.run_lease import (
    DURATION_S,
    FROM_NOW,
    LEASE,
    duration_of,
    epoch_of,
    holder_in,
    run_in,
)
from offbus_steps.kubernetes.ownership.run_records import RECORDS_LABEL, run_of_records
from offbus_steps.port import Gone, NotFound, Object, Port, PortError, Ref, WatchType

__all__ = ["ExpiredLease", "LeaseWatch", "patience_s"]

DOUBLINGS = 5
PAUSE_S = 5.0


@dataclass(frozen=True, slots=True)
class ExpiredLease:
    """A run without a living owner."""

    run: str
    lease: Object | None
    """The version that was watched; None when there are records alone."""
    watched_s: float

    @property
    def holder(self) -> str:
        """Who had it."""
        return holder_in(self.lease) if self.lease is not None else "nobody"

    @property
    def epoch(self) -> int:
        """Of its last owner that the Lease names."""
        return epoch_of(self.holder)


def patience_s(lease: Object | None) -> float:
    """For how long a Lease must be watched unrenewed before a run is taken over."""
    if lease is None:
        return float(DURATION_S)
    further = max(0, epoch_of(holder_in(lease)) - 1)
    return float(duration_of(lease) * 2 ** min(further, DOUBLINGS))


class LeaseWatch:
    """The Lease, as it is known here. `follow` is to run beside `expired`."""

    def __init__(self, port: Port, namespace: str) -> None:
        self._port = port
        self._namespace = namespace
        self._lease: Object | None = None
        self._orphan = ""
        """A run with records and without a Lease."""
        self._changed = anyio.Event()
        self._known = anyio.Event()

    async def follow(self) -> None:
        """Keep it up to date, for ever."""
        while True:
            try:
                await self._follow_once()
            except Gone:
                continue
            except PortError as err:
                structlog.get_logger().warning("the Lease cannot be watched", why=str(err))
                self._tell()  # what was seen before does not count: nobody could renew
                await anyio.sleep(PAUSE_S)

    async def expired(self) -> ExpiredLease:
        """Wait until a run has expired. Raises nothing: without a server, nothing expires."""
        while True:
            await self._known.wait()
            changed, lease, orphan = self._changed, self._lease, self._orphan
            if lease is None and not orphan:
                await changed.wait()
                continue
            since = anyio.current_time()
            with anyio.move_on_after(patience_s(lease)):
                await changed.wait()
            if changed is self._changed and await self._is_still(lease, orphan):
                self._tell()  # whatever comes of it, the next look begins anew
                return ExpiredLease(run_in(lease) if lease else orphan, lease, anyio.current_time() - since)

    async def _follow_once(self) -> None:
        await self._see(await self._read())
        events = self._port.objects.watch("Lease", namespace=self._namespace, resource_version=FROM_NOW)
        async with aclosing(cast(Any, events)) as changes:
            async for event in changes:
                if event.type is WatchType.BOOKMARK or event.object["metadata"]["name"] != LEASE:
                    continue
                await self._see(None if event.type is WatchType.DELETED else event.object)

    async def _read(self) -> Object | None:
        try:
            return await self._port.objects.get(Ref("Lease", LEASE, self._namespace))
        except NotFound:
            return None

    async def _see(self, lease: Object | None) -> None:
        if self._known.is_set() and _version(lease) == _version(self._lease) and lease is not None:
            return  # told again when the watch begins
        self._lease = lease
        self._orphan = "" if lease is not None else await self._first_orphan()
        self._known.set()
        self._tell()

    async def _first_orphan(self) -> str:
        found = await self._port.objects.list("ConfigMap", namespace=self._namespace, labels=RECORDS_LABEL)
        return _first(run_of_records(one) for one in found.items)

    async def _is_still(self, lease: Object | None, orphan: str) -> bool:
        """Ask once more: the watch may lag behind, or be broken without knowing it."""
        try:
            now = await self._read()
            if _version(now) == _version(lease):
                return lease is not None or await self._first_orphan() == orphan
            await self._see(now)
        except PortError as err:
            structlog.get_logger().warning("the Lease cannot be read", why=str(err))
        return False

    def _tell(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


def _version(lease: Object | None) -> str:
    return str(lease["metadata"]["resourceVersion"]) if lease is not None else ""


def _first(runs: Iterable[str]) -> str:
    return min((run for run in runs if run), default="")
