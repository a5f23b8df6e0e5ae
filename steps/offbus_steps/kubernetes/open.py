"""Opens the environment `kubernetes`, and closes it again.

    connect -> preflight (nothing is touched) -> journal the state -> take the Lease -> begin the records -> watch

From then on each effect and each undo first checks that the Lease is still ours: an owner that was suspended or cut off
while another process finished its run changes nothing more.

On failure: before the Lease is taken, nothing was changed. After it and before the environment is open, what was
created here is removed, or reported as residue. Once open, `close` decides: finished runs remove Lease and records;
otherwise both remain, the Lease unrenewed, for the recovery of the run. Nothing here is imported until a run opens
`kubernetes`.
"""

from base64 import b64decode
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio

from offbus.environment import Environment, RunHandle
from offbus.errors import StepError, TakenOver, ungrouped
from offbus.journal.events import Event, EventKind
from offbus.run_origin import note
from offbus.undo import Undo
from offbus_steps.background_tasks import Background
from offbus_steps.cluster.cluster import Cluster
from offbus_steps.failed_open import leftover_after
from offbus_steps.kubernetes.connect import port_of, unreachable
from offbus_steps.kubernetes.journaled_state import believed, journaled
from offbus_steps.kubernetes.look import SeenCluster
from offbus_steps.kubernetes.options import KubernetesOptions
from offbus_steps.kubernetes.ownership.run_lease import RunLease, holder_of
from offbus_steps.kubernetes.ownership.run_records import RunRecords
from offbus_steps.kubernetes.port import KubernetesPort
from offbus_steps.kubernetes.rbac.access_review import ROLES, missing_drill_rights, preflight
from offbus_steps.kubernetes.rbac.reaper_check import drill_namespaces, gaps, ready_reapers
from offbus_steps.kubernetes.rest.api import Call
from offbus_steps.port import PortError, Ref
from offbus_steps.safety.guards import ClusterGuards

__all__ = ["cluster_identity", "open_kubernetes", "reopen_kubernetes"]


@dataclass(frozen=True, slots=True)
class Ownership:
    """What a run owns in the cluster while it lasts: the Lease and its records."""

    lease: RunLease
    records: RunRecords

    @classmethod
    def of(cls, port: KubernetesPort, options: KubernetesOptions, run: RunHandle) -> "Ownership":
        """The ownership that a run may take; nothing is taken yet."""
        holder, namespace = holder_of(run.run_id, run.epoch), options.agent_namespace
        return cls(
            RunLease(port.objects, namespace, holder, duration_s=options.lease_s),
            RunRecords(port.objects, namespace, run.run_id),
        )

    async def end(self) -> None:
        """Nothing remains to undo. The Lease is removed last: until then no other run may begin. Raises TakenOver."""
        if self.lease.held:
            await self.lease.confirm()
            await self.records.end()
        await self.lease.give_up()


class KubernetesCluster(SeenCluster):
    """A cluster that stores the run's events and knows its owner (offbus.abilities: PersistsEvents, OwnsRun)."""

    def __init__(
        self,
        port: KubernetesPort,
        run: RunHandle,
        guards: ClusterGuards,
        tasks: Background,
        ownership: Ownership,
        drill_namespace: str,
    ) -> None:
        super().__init__(port, run, guards, tasks)
        self._ownership = ownership
        self._port = port
        self._drill_namespace = drill_namespace
        """Where permissions were checked before the run; "": everywhere."""

    async def require_rights(self, namespaces: Collection[str]) -> None:
        """See Cluster."""
        if not self._drill_namespace:
            return
        asked = sorted({*namespaces} - {self._drill_namespace})
        if missing := await missing_drill_rights(self._port, asked):
            raise StepError(f"missing permissions: {'; '.join(missing)}", hint=ROLES)

    async def may_change(self) -> None:
        """Raises StepError when a fault's lease or the run itself was lost: called before every effect."""
        await super().may_change()
        try:
            await self._ownership.lease.confirm()
        except TakenOver as err:
            raise StepError(err.message, hint="its new owner finishes it") from err

    async def read_secret(self, name: str) -> str:
        """The value of a Secret's key, "NAMESPACE/NAME/KEY", with the runner's own rights. Raises StepError."""
        namespace, _, rest = name.partition("/")
        secret, _, key = rest.partition("/")
        if not (namespace and secret and key):
            raise StepError(f"a Secret is named NAMESPACE/NAME/KEY, and this is {name!r}")
        path = f"/api/v1/namespaces/{quote(namespace, safe='')}/secrets/{quote(secret, safe='')}"
        try:
            data = (await self._port.api.json(Call("GET", path))).get("data") or {}
            return b64decode(data[key], validate=True).decode()
        except PortError as err:
            hint = f"kubectl auth can-i get secrets/{secret} -n {namespace}"
            raise StepError(
                f"the Secret {namespace}/{secret} cannot be read: {err.message}", hint=hint
            ) from err
        except KeyError as err:
            raise StepError(f"the Secret {namespace}/{secret} has no key {key!r}") from err
        except (ValueError, TypeError):
            raise StepError(f"the key {key!r} of the Secret {namespace}/{secret} is no text") from None

    async def may_undo(self) -> None:
        """Raises TakenOver when another process owns the run now: called before every undo."""
        await self._ownership.lease.confirm()

    def proves(self, undo: Undo) -> bool:
        """See Cluster."""
        return self._ownership.records.proves(undo)

    async def persist(self, event: Event) -> None:
        """Store an event; the API server acknowledges it. Raises StepError: then nothing may be changed."""
        if not await self._ownership.records.persist(event):
            kind = EventKind(event["kind"]).value
            self.run.observed(
                lane="run", subject="records", to=f"the {kind} is too large to be stored in the cluster"
            )

    async def close(self, *, finished: bool) -> None:
        """Give the cluster up, unless something remains for a recovery."""
        if finished:
            await self._ownership.end()


@asynccontextmanager
async def open_kubernetes(
    options: KubernetesOptions, guards: ClusterGuards, run: RunHandle, run_dir: Path
) -> AsyncIterator[Environment]:
    """For a new run."""
    async with port_of(options) as port:
        run.progress("checking permissions and agents of the cluster")
        await preflight(port, drill_namespace=options.namespace, agent_namespace=options.agent_namespace)
        ownership = Ownership.of(port, options, run)
        state = journaled(options, guards, ownership.lease.holder)
        note(run_dir, state)
        run.opened(state)
        with unreachable():
            if await ready_reapers(port, options.agent_namespace):
                # where the reaper could not finish this run is reported, and the run goes on
                namespaces = drill_namespaces(options.namespace, guards.namespaces)
                for one in await gaps(port, namespaces, options.agent_namespace):
                    run.observed(lane="run", subject="reaper", to=str(one), evidence={"fix": one.fix})
        opening = Opening(port, guards, run, ownership, options.namespace)
        try:
            with unreachable():
                await ownership.lease.take()
            async with opening.opened() as cluster:
                cluster.dry_run_only = options.responder == "dry_run"
                yield cluster
        finally:
            await opening.end_unopened()  # once it is open, `close` decides what remains for a recovery


@asynccontextmanager
async def reopen_kubernetes(
    state: Mapping[str, Any], run: RunHandle, run_dir: Path
) -> AsyncIterator[Environment]:
    """For a recovery, without a preflight: the undos report missing permissions themselves.

    The state is hostile input (offbus_steps.kubernetes.journaled_state).
    """
    known = believed(state, run, run_dir)
    async with port_of(known.options) as port:
        ownership = Ownership.of(port, known.options, run)
        run.progress("taking over the run's Lease")
        with unreachable():
            await ownership.lease.take_over(known.former, expired=known.expired)
        again = journaled(known.options, known.guards, ownership.lease.holder)
        if known.ours:
            note(run_dir, again)
        run.opened(again)
        opening = Opening(port, known.guards, run, ownership, known.options.namespace, ours=known.ours)
        async with opening.opened() as cluster:
            yield cluster


async def cluster_identity(options: KubernetesOptions) -> str:
    """Identifies the cluster, independent of the context's name. Raises CouldNotRun when it cannot be reached."""
    async with port_of(options) as port:
        with unreachable():
            system = await port.objects.get(Ref("Namespace", "kube-system"))
        return f"kubernetes:{port.api.connection.shown_server}#{system['metadata']['uid']}"


@dataclass(slots=True)
class Opening:
    """A connected cluster that is being opened."""

    port: KubernetesPort
    guards: ClusterGuards
    run: RunHandle
    ownership: Ownership
    drill_namespace: str = ""
    ours: bool = True
    """Whether this user's offbus opened the run: its journal is more than a folder that anybody may have packed."""
    is_open: bool = False

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Cluster]:
        """The environment, its Lease kept renewed. An error of the body is raised as it is, not in a group."""
        with unreachable(while_opening=lambda: not self.is_open):
            await self.ownership.records.begin(self.run.persisted(), ours=self.ours)
            with ungrouped():
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self.ownership.lease.keep, self.run.abort)
                    cluster = KubernetesCluster(
                        self.port,
                        self.run,
                        self.guards,
                        Background(tasks, self.run),
                        self.ownership,
                        self.drill_namespace,
                    )
                    await cluster.start()
                    self.is_open = True
                    yield cluster
                    tasks.cancel_scope.cancel()

    async def end_unopened(self) -> None:
        """Remove what was created, unless it was opened; what may remain is reported as residue."""
        if not self.is_open:
            leftovers = await leftover_after(
                self.ownership.end, "the run's Lease and records", self.run.run_id
            )
            self.run.unopened(leftovers)
