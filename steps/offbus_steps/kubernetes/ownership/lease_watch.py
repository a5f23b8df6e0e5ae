"""Watches the Lease of a cluster's runs until it has expired: unrenewed for its whole duration, as seen from here.

Time is this process's monotonic clock, from the moment at which a version of the Lease was first seen here. The times
that owners write into it are never read. A watch that broke (the API server was away, so nobody could renew) starts
over. Records without a Lease are from an owner that died between the two: they expire in the same way, each run's on
its own, so that one that cannot be finished (its records are damaged) keeps no other from it.

Each owner after the first one, and each try for records without a Lease, doubles the wait, so that a run that cannot be
finished is retried less and less often.
"""

from collections import Counter
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, cast

import anyio
import structlog

from offbus.errors import ungrouped
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
    """A run whose owner no longer renews it."""

    run: str
    lease: Object | None
    """The version that was watched; None when there are only records."""
    watched_s: float

    @property
    def holder(self) -> str:
        """Who held it last."""
        return holder_in(self.lease) if self.lease is not None else "nobody"

    @property
    def epoch(self) -> int:
        """The epoch of its last owner that the Lease names."""
        return epoch_of(self.holder)


def patience_s(lease: Object | None) -> float:
    """For how long a Lease must be watched unrenewed before a run is taken over."""
    if lease is None:
        return float(DURATION_S)
    further = max(0, epoch_of(holder_in(lease)) - 1)
    return float(duration_of(lease) * 2 ** min(further, DOUBLINGS))


class LeaseWatch:
    """The Lease, as it is known here. Run `follow` concurrently with `expired`."""

    def __init__(self, port: Port, namespace: str) -> None:
        self._port = port
        self._namespace = namespace
        self._lease: Object | None = None
        self._recorded: set[str] = set()
        """The runs that have records."""
        self._seen: dict[str, float] = {}
        """Since when each of them has had no Lease, as seen from here."""
        self._tries: Counter[str] = Counter()
        self._changed = anyio.Event()
        self._known = anyio.Event()

    async def follow(self) -> None:
        """Keep it up to date; never returns."""
        while True:
            try:
                await self._follow_once()
            except Gone:
                continue
            except PortError as err:
                structlog.get_logger().warning("cannot watch the Lease", why=str(err))
                self._seen.clear()  # what was seen before does not count: no owner could renew
                self._notify()
                await anyio.sleep(PAUSE_S)

    async def expired(self) -> ExpiredLease:
        """Wait until a run has expired. Raises nothing: without a server, nothing expires."""
        while True:
            await self._known.wait()
            # Taken together, without a wait between: every change after this sets `changed`.
            changed, lease, since = self._changed, self._lease, anyio.current_time()
            orphan = (
                ""
                if lease is not None
                else min(self._seen, key=lambda run: (self._due(run), run), default="")
            )
            if lease is None and not orphan:
                await changed.wait()
                continue
            with anyio.move_on_after(patience_s(lease) if lease is not None else self._due(orphan) - since):
                await changed.wait()
            if changed is self._changed and await self._is_still(lease, orphan):
                self._notify()  # whatever happens to this run, the next watch starts over
                now = anyio.current_time()
                if lease is not None:
                    return ExpiredLease(run_in(lease), lease, now - since)
                watched_s, self._seen[orphan] = now - self._seen[orphan], now
                self._tries[orphan] += 1
                return ExpiredLease(orphan, None, watched_s)

    def _due(self, orphan: str) -> float:
        """The first try comes after the duration, the next after as long again, then each after twice as long."""
        doublings = min(max(0, self._tries[orphan] - 1), DOUBLINGS)
        return self._seen[orphan] + DURATION_S * 2.0**doublings

    async def _follow_once(self) -> None:
        """Both watches; they begin anew together, when one of them ends."""
        # Both watches begin with what is there (FROM_NOW), so a change between this and their begin is not missed.
        self._recorded = await self._runs_recorded()
        await self._see(await self._read())
        with ungrouped():
            async with anyio.create_task_group() as both:
                both.start_soon(self._follow_lease)
                both.start_soon(self._follow_records)

    async def _follow_lease(self) -> None:
        events = self._port.objects.watch("Lease", namespace=self._namespace, resource_version=FROM_NOW)
        async with aclosing(cast(Any, events)) as changes:
            async for event in changes:
                if event.type is not WatchType.BOOKMARK and event.object["metadata"]["name"] == LEASE:
                    await self._see(None if event.type is WatchType.DELETED else event.object)

    async def _follow_records(self) -> None:
        events = self._port.objects.watch(
            "ConfigMap", namespace=self._namespace, labels=RECORDS_LABEL, resource_version=FROM_NOW
        )
        async with aclosing(cast(Any, events)) as changes:
            async for event in changes:
                if event.type is WatchType.BOOKMARK or not (run := run_of_records(event.object)):
                    continue
                gone = event.type is WatchType.DELETED
                self._recorded = self._recorded - {run} if gone else self._recorded | {run}
                self._count_orphans()

    async def _read(self) -> Object | None:
        try:
            return await self._port.objects.get(Ref("Lease", LEASE, self._namespace))
        except NotFound:
            return None

    async def _see(self, lease: Object | None) -> None:
        if self._known.is_set() and _version(lease) == _version(self._lease) and lease is not None:
            return  # reported again when the watch begins
        self._lease = lease
        self._known.set()
        if lease is not None:
            self._seen.clear()
            self._notify()
        else:
            self._count_orphans(notify=True)

    def _count_orphans(self, *, notify: bool = False) -> None:
        """Those of the records have no Lease, while there is none; a Lease is not waited for anew because of them."""
        if self._lease is not None or not self._known.is_set():
            return
        now, before = anyio.current_time(), self._seen.keys()
        changed = before != self._recorded
        self._seen = {run: self._seen.get(run, now) for run in self._recorded}
        self._tries = Counter({run: tries for run, tries in self._tries.items() if run in self._recorded})
        if changed or notify:
            self._notify()

    async def _runs_recorded(self) -> set[str]:
        found = await self._port.objects.list("ConfigMap", namespace=self._namespace, labels=RECORDS_LABEL)
        return {run for one in found.items if (run := run_of_records(one))}

    async def _is_still(self, lease: Object | None, orphan: str) -> bool:
        """Read once more: the watch may lag behind, or be broken without noticing."""
        try:
            now = await self._read()
            if _version(now) == _version(lease):
                return lease is not None or orphan in await self._runs_recorded()
            await self._see(now)
        except PortError as err:
            structlog.get_logger().warning("cannot read the Lease", why=str(err))
        return False

    def _notify(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


def _version(lease: Object | None) -> str:
    return str(lease["metadata"]["resourceVersion"]) if lease is not None else ""
