"""Opens the environment `kubernetes`, and closes it again.

    connect -> preflight (nothing is touched) -> journal the state -> take the Lease -> begin the records -> watch

From then on each effect and each undo asks first whether the Lease is still ours: an owner that was suspended or cut
off while somebody else finished its run changes nothing more.

What a failure does: before the Lease is taken, nothing was touched. One that comes after it and before the
environment is open removes what was made here, or tells it as residue. Once open, `close` decides: finished runs
remove Lease and records; otherwise both stay, the Lease unrenewed, for whoever recovers the run. Nothing here is
imported until a run opens `kubernetes`.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio

from offbus.environment import Environment, RunHandle
from offbus.errors import StepError, TakenOver
from offbus.journal.events import Event, EventKind
from offbus_steps.background_tasks import Background
from offbus_steps.cluster.cluster import Cluster
from offbus_steps.failed_open import leftover_after
from offbus_steps.kubernetes.connect import journaled_options, port_of, unreachable
from offbus_steps.kubernetes.options import KubernetesOptions
from offbus_steps.kubernetes.ownership.run_lease import RunLease, holder_of
from offbus_steps.kubernetes.ownership.run_records import RunRecords
from offbus_steps.kubernetes.port import KubernetesPort
from offbus_steps.kubernetes.rbac.access_review import preflight
from offbus_steps.kubernetes.rbac.reaper_check import drill_namespaces, gaps, ready_reapers
from offbus_steps.port import Ref
from offbus_steps.safety.guards import ClusterGuards

__all__ = ["cluster_identity", "open_kubernetes", "reopen_kubernetes", "say_out_of_reach"]


@dataclass(frozen=True, slots=True)
class Hold:
    """What a run has in the cluster while it lasts."""

    lease: RunLease
    records: RunRecords

    @classmethod
    def of(cls, port: KubernetesPort, options: KubernetesOptions, run: RunHandle) -> "Hold":
        """Nothing is taken yet."""
        holder, namespace = holder_of(run.run_id, run.epoch), options.agent_namespace
        return cls(
            RunLease(port.objects, namespace, holder, duration_s=options.lease_s),
            RunRecords(port.objects, namespace, run.run_id),
        )

    async def end(self) -> None:
        """Nothing is left to undo. The Lease goes last: until then nobody else may begin. Raises TakenOver."""
        if self.lease.held:
            await self.lease.confirm()
            await self.records.end()
        await self.lease.give_up()


class KubernetesCluster(Cluster):
    """A cluster that keeps the run's events and knows its owner (offbus.environment: PersistsEvents, OwnsRun)."""

    def __init__(
        self, port: KubernetesPort, run: RunHandle, guards: ClusterGuards, tasks: Background, hold: Hold
    ) -> None:
        super().__init__(port, run, guards, tasks, self._ended, self._nothing_more)
        self._hold = hold

    async def may_change(self) -> None:
        """Raises StepError when a fault's lease or the run itself was lost: the engine asks before every effect."""
        await super().may_change()
        try:
            await self._hold.lease.confirm()
        except TakenOver as err:
            raise StepError(err.message, hint="whoever has the run now finishes it") from err

    async def may_undo(self) -> None:
        """Raises TakenOver when the run is another process's now: the engine asks before every undo."""
        await self._hold.lease.confirm()

    async def persist(self, event: Event) -> None:
        """Have the API server acknowledge an event. Raises StepError; then change nothing."""
        if not await self._hold.records.persist(event):
            kind = EventKind(event["kind"]).value
            self.run.observed(
                lane="run", subject="records", to=f"the {kind} is too large to be kept in the cluster"
            )

    async def _ended(self, finished: bool) -> None:
        if finished:
            await self._hold.end()

    async def _nothing_more(self) -> dict[str, Any]:
        """A real cluster adds nothing to the fingerprint of offbus_steps.residue.fingerprint."""
        return {}


@asynccontextmanager
async def open_kubernetes(
    options: KubernetesOptions, guards: ClusterGuards, run: RunHandle
) -> AsyncIterator[Environment]:
    """For a new run."""
    async with port_of(options) as port:
        run.progress("asking the cluster whether a drill may run")
        await preflight(port, drill_namespace=options.namespace, agent_namespace=options.agent_namespace)
        hold = Hold.of(port, options, run)
        state = journaled(options, guards, hold)
        run.opened(state)
        await say_out_of_reach(port, options, guards, run)
        opening = Opening(port, guards, run, hold)
        try:
            with unreachable():
                await hold.lease.take()
            async with opening.opened() as cluster:
                yield cluster
        finally:
            await opening.end_unopened()  # once it is open, `close` decides what stays for a recovery


async def say_out_of_reach(
    port: KubernetesPort, options: KubernetesOptions, guards: ClusterGuards, run: RunHandle
) -> None:
    """Where the reaper could not finish this run: told, and no reason to refuse. Raises CouldNotRun."""
    with unreachable():
        if not await ready_reapers(port, options.agent_namespace):
            return
        namespaces = drill_namespaces(options.namespace, guards.namespaces)
        for one in await gaps(port, namespaces, options.agent_namespace):
            run.observed(lane="run", subject="reaper", to=str(one), evidence={"fix": one.fix})


@asynccontextmanager
async def reopen_kubernetes(state: Mapping[str, Any], run: RunHandle) -> AsyncIterator[Environment]:
    """For a recovery: its preflight is the undo itself, which reports what it may not do."""
    options = KubernetesOptions.model_validate(state["options"])
    guards = ClusterGuards.model_validate(state["guards"])
    async with port_of(options) as port:
        hold = Hold.of(port, options, run)
        run.progress("taking the run's Lease over")
        with unreachable():
            await hold.lease.take_over(state["holder"], expired=state.get("expired", state.get("lapsed", "")))
        run.opened(journaled(options, guards, hold))
        async with Opening(port, guards, run, hold).opened() as cluster:
            yield cluster


async def cluster_identity(options: KubernetesOptions) -> str:
    """Names the cluster whatever the context is called. Raises CouldNotRun when it cannot be reached."""
    async with port_of(options) as port:
        with unreachable():
            system = await port.objects.get(Ref("Namespace", "kube-system"))
        return f"kubernetes:{port.api.connection.server}#{system['metadata']['uid']}"


class Opening:
    """A connected cluster on its way to being open."""

    def __init__(self, port: KubernetesPort, guards: ClusterGuards, run: RunHandle, hold: Hold) -> None:
        self._port = port
        self._guards = guards
        self._run = run
        self._hold = hold
        self._is_open = False

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Cluster]:
        """The environment, its Lease kept. An error of the body leaves as it is, not in a group."""
        failure: Exception | None = None
        with unreachable(while_opening=lambda: not self._is_open):
            await self._hold.records.begin(self._run.persisted())
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._hold.lease.keep, self._run.abort)
                try:
                    cluster = KubernetesCluster(
                        self._port, self._run, self._guards, Background(tasks, self._run), self._hold
                    )
                    await cluster.start()
                    self._is_open = True
                    yield cluster
                except Exception as err:  # noqa: BLE001  raised again below, out of the task group's ExceptionGroup
                    failure = err
                tasks.cancel_scope.cancel()
            if failure is not None:
                raise failure

    async def end_unopened(self) -> None:
        """Remove what was made, when it did not get as far as being open; what may be left is told as residue."""
        if not self._is_open:
            left = await leftover_after(self._hold.end, "the run's Lease and records", self._run.run_id)
            self._run.unopened(left)


def journaled(options: KubernetesOptions, guards: ClusterGuards, hold: Hold) -> dict[str, Any]:
    """What `reopen` needs. The kubeconfig is named, never copied: credentials stay out of the journal."""
    return {
        "options": journaled_options(options),
        "guards": guards.model_dump(mode="json"),
        "holder": hold.lease.holder,
    }
