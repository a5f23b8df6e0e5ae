"""The run's Lease in the cluster: the only right to undo there, for runner, `recover` and reaper alike.

One Lease named `offbus` for a cluster: two drills at once exclude each other, from whatever machine. Its holder is
"RUN/EPOCH@HOST". It is renewed every third of its duration, always conditional on the version that we wrote last, so
that a Lease taken by somebody else is noticed at the next renewal; then, and when it could not be renewed for its
whole duration, the run is stopped. Nobody compares clocks: a Lease has lapsed for someone who watched it unrenewed
for its whole duration. A run that left something behind keeps the Lease, unrenewed, until it is recovered.
"""

import socket
from collections.abc import Callable
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any, cast

import anyio

from offbus.errors import CouldNotRun
from offbus_steps.kubernetes.objects import KubernetesObjects
from offbus_steps.port import Conflict, NotFound, Object, PortError, Ref, Unavailable, WatchType

__all__ = ["DURATION_S", "LEASE", "RunLease", "holder_of"]

LEASE = "offbus"
DURATION_S = 30
RUN_LABEL = "offbus.dev/holds-run"


def holder_of(run: str, epoch: int) -> str:
    """How this process signs."""
    return f"{run}/{epoch}@{socket.gethostname()}"


class RunLease:
    """The Lease, as one owner of one run holds it."""

    def __init__(
        self, objects: KubernetesObjects, namespace: str, holder: str, *, duration_s: int = DURATION_S
    ) -> None:
        self.holder = holder
        self._objects = objects
        self._ref = Ref("Lease", LEASE, namespace)
        self._duration_s = duration_s
        self._version = ""

    @property
    def run(self) -> str:
        """The run that holds it."""
        return self.holder.partition("/")[0]

    async def take(self) -> None:
        """Take it for a new run. Raises CouldNotRun naming the run that has it."""
        try:
            self._wrote(await self._objects.create(self._object()))
        except Conflict:
            found = await self._objects.get(self._ref)
            raise self._taken(found) from None

    async def take_over(self, former: str) -> None:
        """Take it for a recovery of the same run. Raises CouldNotRun when another run, or a living owner, has it.

        `former` is the holder whose journal we hold the lock of, hence dead; any other is waited for until it lapses.
        """
        try:
            found = await self._objects.get(self._ref)
        except NotFound:
            return await self.take()
        if _run_of(found) != self.run:
            raise self._taken(found)
        if _holder(found) not in (former, self.holder):
            await self._lapse(found)
            found = await self._objects.get(self._ref)
        try:
            self._wrote(await self._write(found["metadata"]["resourceVersion"]))
        except Conflict as err:
            raise CouldNotRun(f"somebody else has just taken over run {self.run}") from err

    async def keep(self, lost: Callable[[str], None]) -> None:
        """Renew it for ever; call `lost` and return when it is not ours any more."""
        renewed = anyio.current_time()
        while True:
            await anyio.sleep(self._duration_s / 3)
            try:
                self._wrote(await self._write(self._version))
                renewed = anyio.current_time()
            except (Conflict, NotFound):
                return lost(f"the Lease {self._ref} was taken from run {self.run} by {await self._who()}")
            except PortError as err:
                if anyio.current_time() - renewed > self._duration_s or not isinstance(err, Unavailable):
                    return lost(f"the Lease {self._ref} could not be renewed: {err.message}")

    async def give_up(self) -> None:
        """The run is over and nothing is left: remove it, if it is still ours."""
        try:
            found = await self._objects.get(self._ref)
            if _holder(found) == self.holder:
                await self._objects.delete(self._ref, uid=found["metadata"]["uid"])
        except (NotFound, Conflict):
            return  # somebody else's by now

    async def _lapse(self, found: Object) -> None:
        """Watch it unrenewed for its whole duration. Raises CouldNotRun when its owner renews it."""
        seconds = int((found["spec"] or {}).get("leaseDurationSeconds") or self._duration_s)
        version = found["metadata"]["resourceVersion"]
        events = self._objects.watch("Lease", namespace=self._ref.namespace, resource_version=version)
        with anyio.move_on_after(seconds):
            async with aclosing(cast(Any, events)) as changes:
                async for event in changes:
                    if event.type is WatchType.BOOKMARK or event.object["metadata"]["name"] != LEASE:
                        continue
                    if event.type is WatchType.DELETED:
                        raise CouldNotRun(f"run {self.run} has just been finished by {_holder(found)}")
                    raise CouldNotRun(
                        f"run {self.run} is in the hands of {_holder(event.object)}, who is alive"
                    )

    async def _write(self, version: str) -> Object:
        made = self._object()
        meta = {"labels": made["metadata"]["labels"], "resourceVersion": version}
        return await self._objects.patch(self._ref, {"metadata": meta, "spec": made["spec"]})

    async def _who(self) -> str:
        try:
            return _holder(await self._objects.get(self._ref)) or "nobody"
        except PortError:
            return "somebody: it is gone"

    def _wrote(self, lease: Object) -> None:
        self._version = lease["metadata"]["resourceVersion"]

    def _object(self) -> Object:
        meta = {"name": LEASE, "namespace": self._ref.namespace, "labels": {RUN_LABEL: self.run}}
        spec = {
            "holderIdentity": self.holder,
            "leaseDurationSeconds": self._duration_s,
            "renewTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        }
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta, "spec": spec}

    def _taken(self, found: Object) -> CouldNotRun:
        run = _run_of(found)
        return CouldNotRun(
            f"run {run} has this cluster: the Lease {self._ref} is held by {_holder(found)}",
            hint=f"wait for it, or if it was killed: offbus recover {run} (where it ran)",
        )


def _holder(lease: Object) -> str:
    return str((lease.get("spec") or {}).get("holderIdentity") or "")


def _run_of(lease: Object) -> str:
    return _holder(lease).partition("/")[0]
