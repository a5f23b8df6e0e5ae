"""The run's Lease in the cluster: only its holder may undo there, be it runner, `recover` or reaper.

A cluster has one Lease, named `offbus`, so that only one drill runs at a time, from any machine. Its holder is
"RUN/EPOCH@HOST#PROCESS". It is renewed every third of its duration, always conditional on the version that we wrote
last, so that a Lease taken by another owner is noticed at the next renewal; then, and when it could not be renewed for
its whole duration, the run is stopped. Before each effect and each undo the owner calls `confirm`: one that was
suspended, or cut off, notices there and changes nothing. Clocks are never compared: a Lease has expired for a process
that watched it unrenewed for its whole duration. A run that left something behind keeps the Lease, unrenewed, until it
is recovered.
"""

import secrets
import socket
from collections.abc import Callable
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any, cast

import anyio

from offbus.errors import CouldNotRun, TakenOver
from offbus_steps.deletion import delete
from offbus_steps.node_clock import now_ns
from offbus_steps.port import Conflict, NotFound, Object, Objects, PortError, Ref, Unavailable, WatchType

__all__ = [
    "DURATION_S",
    "FROM_NOW",
    "LEASE",
    "RunLease",
    "duration_of",
    "epoch_of",
    "holder_in",
    "holder_of",
    "run_in",
]

LEASE = "offbus"
DURATION_S = 30
FRESH = 2 / 3
"""Part of the duration within which a renewed Lease is ours without asking; others must wait for all of it."""
FROM_NOW = ""
"""A watch from no version begins with what is there, as ADDED: a Lease may be older than what the server remembers."""
AGAIN_S = 1.0
"""Between two attempts to renew while the API server is away."""
RUN_LABEL = "offbus.dev/holds-run"
PROCESS = secrets.token_hex(4)
NS = 1_000_000_000


def holder_of(run: str, epoch: int) -> str:
    """The holder identity of this process, unique even on the same machine and epoch."""
    return f"{run}/{epoch}@{socket.gethostname()}#{PROCESS}"


def holder_in(lease: Object) -> str:
    """The holder of a Lease; "" for nobody."""
    return str((lease.get("spec") or {}).get("holderIdentity") or "")


def run_in(lease: Object) -> str:
    """The run whose Lease it is."""
    return holder_in(lease).partition("/")[0]


def epoch_of(holder: str) -> int:
    """The epoch in a holder identity; 0 when it has none."""
    number = holder.partition("/")[2].partition("@")[0]
    return int(number) if number.isdecimal() and len(number) <= 18 else 0


def duration_of(lease: Object) -> int:
    """For how many seconds a Lease must be watched unrenewed until it has expired."""
    return int((lease.get("spec") or {}).get("leaseDurationSeconds") or DURATION_S)


class RunLease:
    """The Lease, as one owner of one run holds it."""

    def __init__(
        self,
        objects: Objects,
        namespace: str,
        holder: str,
        *,
        duration_s: int = DURATION_S,
        clock: Callable[[], int] = now_ns,
    ) -> None:
        self.holder = holder
        self.run = holder.partition("/")[0]
        self._objects = objects
        self._ref = Ref("Lease", LEASE, namespace)
        self._duration_s = duration_s
        self._clock = clock
        self._version = ""
        self._asked_ns = 0
        """When the renewal that counts was asked for, on CLOCK_BOOTTIME: time in which we were suspended counts."""
        self._taken_by: str | None = None
        self._turn = anyio.Lock()

    @property
    def held(self) -> bool:
        """Whether it was ever taken."""
        return bool(self._version)

    async def take(self) -> None:
        """Take it for a new run. Raises CouldNotRun naming the run that holds it."""
        asked = self._clock()
        try:
            made = await self._objects.create(self._object())
        except Conflict:
            found = await self._objects.get(self._ref)
            raise self._taken(found) from None
        self._version, self._asked_ns = made["metadata"]["resourceVersion"], asked

    async def take_over(self, former: str, *, expired: str = "") -> None:
        """Take it for a recovery of the same run. Raises CouldNotRun when another run, or a live owner, holds it.

        `former` is the holder whose journal lock we hold, so it is dead; `expired` is the version that we watched
        unrenewed for its whole duration. Any other is watched for that long here.
        """
        found = await self.read()
        if found is None:
            if expired:
                raise TakenOver(f"run {self.run} has just been finished")
            return await self.take()
        known = holder_in(found) == former or found["metadata"]["resourceVersion"] == expired
        if not known:
            found = await self._until_expired(found)
        asked = self._clock()
        try:
            await self._write(found["metadata"]["resourceVersion"], asked)
        except (Conflict, NotFound) as err:
            raise TakenOver(f"another process has just taken over run {self.run}") from err

    async def read(self) -> Object | None:
        """The Lease as it is, None for none. Raises CouldNotRun when another run holds it."""
        try:
            found = await self._objects.get(self._ref)
        except NotFound:
            return None
        if run_in(found) != self.run:
            raise self._taken(found)
        return found

    async def keep(self, lost: Callable[[str], None]) -> None:
        """Keep renewing it. Calls `lost` when it is no longer ours (then returns), or could not be renewed."""
        reported = False
        while True:
            # After a loss it goes on trying: once the server is back, the undos need a Lease that is ours.
            await anyio.sleep(AGAIN_S if reported else self._duration_s / 3)
            try:
                await self._try_until_renewed()
                reported = False
            except TakenOver as err:
                return lost(err.message)
            except PortError as err:
                if not reported:
                    lost(f"the Lease {self._ref} could not be renewed: {err.message}")
                reported = True

    async def confirm(self) -> None:
        """Returns while it is ours. Raises TakenOver; PortError when that cannot be verified."""
        if self._taken_by is not None:
            raise self._lost(self._taken_by)
        if self._age_s() > self._duration_s * FRESH:
            await self.renew()

    async def renew(self) -> None:
        """Renew it now. Raises TakenOver, PortError."""
        async with self._turn:
            # Before the request is sent: whoever watches the Lease begins to count when it was written, which is later.
            # So it is no longer ours, as seen from here, before it has expired for anybody else.
            asked = self._clock()
            try:
                await self._write(self._version, asked)
            except NotFound:
                raise self._lost("nobody: it was deleted") from None
            except Conflict:
                await self._write_again(asked)

    async def give_up(self) -> None:
        """The run is over and nothing remains: remove it, if it is still ours. Raises StepError when it stays."""
        try:
            found = await self._objects.get(self._ref)
        except NotFound:
            return  # another owner's by now
        if holder_in(found) == self.holder:
            # By uid: since it was read it may have been removed, and a new run may have made its own.
            await delete(self._objects, self._ref, found["metadata"]["uid"])

    async def _try_until_renewed(self) -> None:
        """Renew it, with retries while the API server is away and the Lease can still be ours."""
        while True:
            try:
                return await self.renew()
            except Unavailable:
                if self._age_s() > self._duration_s:
                    raise
                await anyio.sleep(AGAIN_S)

    async def _write_again(self, asked_ns: int) -> None:
        """Its version differs: from our own renewal whose answer was lost, or another owner's. Raises TakenOver."""
        try:
            found = await self._objects.get(self._ref)
            if holder_in(found) == self.holder:
                return await self._write(found["metadata"]["resourceVersion"], asked_ns)
        except (Conflict, NotFound):
            raise self._lost("another owner") from None
        raise self._lost(holder_in(found))

    async def _until_expired(self, found: Object) -> Object:
        """Wait until it was unrenewed for its whole duration. Raises CouldNotRun when its owner renews it."""
        version = found["metadata"]["resourceVersion"]
        events = self._objects.watch("Lease", namespace=self._ref.namespace, resource_version=FROM_NOW)
        with anyio.move_on_after(duration_of(found)):
            async with aclosing(cast(Any, events)) as changes:
                async for event in changes:
                    meta = event.object["metadata"]
                    if event.type is WatchType.BOOKMARK or meta["name"] != LEASE:
                        continue
                    if event.type is WatchType.ADDED and meta["resourceVersion"] == version:
                        continue
                    if event.type is WatchType.DELETED:
                        raise CouldNotRun(f"run {self.run} has just been finished by {holder_in(found)}")
                    holder = holder_in(event.object)
                    raise CouldNotRun(
                        f"run {self.run} is held by {holder}, which is still renewing its Lease"
                    )
        return found

    async def _write(self, version: str, asked_ns: int) -> None:
        """Renew this version of it. Raises Conflict when there is another one."""
        wanted = self._object()
        meta = {"labels": wanted["metadata"]["labels"], "resourceVersion": version}
        made = await self._objects.patch(self._ref, {"metadata": meta, "spec": wanted["spec"]})
        self._version, self._asked_ns = made["metadata"]["resourceVersion"], asked_ns

    def _age_s(self) -> float:
        return (self._clock() - self._asked_ns) / NS

    def _lost(self, by: str) -> TakenOver:
        self._taken_by = by
        return TakenOver(f"the Lease {self._ref} was taken from run {self.run} by {by}")

    def _object(self) -> Object:
        meta = {"name": LEASE, "namespace": self._ref.namespace, "labels": {RUN_LABEL: self.run}}
        spec = {
            "holderIdentity": self.holder,
            "leaseDurationSeconds": self._duration_s,
            # For people and kubectl. No process of ours reads it: clocks of two machines are never compared.
            "renewTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        }
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta, "spec": spec}

    def _taken(self, found: Object) -> CouldNotRun:
        run = run_in(found)
        return CouldNotRun(
            f"the cluster is in use by run {run}: the Lease {self._ref} is held by {holder_in(found)}",
            hint=f"wait for it, or if it was killed, run `offbus recover {run} --env kubernetes`",
        )
