"""Opens the environment `kubernetes`, and closes it again.

    connect -> preflight (nothing is touched) -> journal the state -> take the Lease -> begin the records -> watch

What a failure does: before the Lease is taken, nothing was touched. One that comes after it and before the
environment is open removes what was made here, or tells it as residue. Once open, `close` decides: finished runs
remove Lease and records; otherwise both stay, the Lease unrenewed, for whoever recovers the run. Nothing here is
imported until a run opens `kubernetes`.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import anyio

from offbus.environment import Environment, Left, RunHandle
from offbus.errors import CouldNotRun
from offbus_steps.background import Background
from offbus_steps.cluster import Cluster
from offbus_steps.guards import ClusterGuards
from offbus_steps.kubernetes.environment import KubernetesOptions
from offbus_steps.kubernetes.port import KubernetesPort, open_port
from offbus_steps.kubernetes.preflight import preflight
from offbus_steps.kubernetes.records import UndoRecords
from offbus_steps.kubernetes.run_lease import RunLease, holder_of
from offbus_steps.port import PortError, Ref

__all__ = ["cluster_identity", "open_kubernetes", "reopen_kubernetes"]

CLEAN_UP_S = 30.0


@dataclass(frozen=True, slots=True)
class Hold:
    """What a run has in the cluster while it lasts."""

    lease: RunLease
    records: UndoRecords

    @classmethod
    def of(cls, port: KubernetesPort, namespace: str, run: RunHandle) -> "Hold":
        """Nothing is taken yet."""
        holder = holder_of(run.run_id, run.epoch)
        return cls(
            RunLease(port.objects, namespace, holder), UndoRecords(port.objects, namespace, run.run_id)
        )

    async def end(self) -> None:
        """Nothing is left to undo. The Lease goes last: until then nobody else may begin."""
        await self.records.end()
        await self.lease.give_up()


class KubernetesCluster(Cluster):
    """A cluster in which the run's undo records are kept, too (offbus.environment.KeepsUndos)."""

    def __init__(
        self, port: KubernetesPort, run: RunHandle, guards: ClusterGuards, tasks: Background, hold: Hold
    ) -> None:
        super().__init__(port, run, guards, tasks, self._ended, self._nothing_more)
        self._hold = hold

    async def keep_undo(self, record: Mapping[str, Any]) -> None:
        """Have the API server acknowledge a record before its effect begins. Raises StepError; then change nothing."""
        await self._hold.records.acknowledge(record)

    async def _ended(self, finished: bool) -> None:
        if finished:
            await self._hold.end()

    async def _nothing_more(self) -> dict[str, Any]:
        """A real cluster adds nothing to the fingerprint of offbus_steps.fingerprint."""
        return {}


@asynccontextmanager
async def open_kubernetes(
    options: KubernetesOptions, guards: ClusterGuards, run: RunHandle
) -> AsyncIterator[Environment]:
    """For a new run."""
    async with port_of(options) as port:
        run.progress("asking the cluster whether a drill may run")
        await preflight(port, drill_namespace=options.namespace, agent_namespace=options.agent_namespace)
        hold = Hold.of(port, options.agent_namespace, run)
        state = journaled(options, guards, hold)
        run.opened(state)
        opening = Opening(port, guards, run, hold)
        try:
            with unreachable():
                await hold.lease.take()
            async with opening.opened(state) as cluster:
                yield cluster
        finally:
            await opening.end_unopened()  # once it is open, `close` decides what stays for a recovery


@asynccontextmanager
async def reopen_kubernetes(state: Mapping[str, Any], run: RunHandle) -> AsyncIterator[Environment]:
    """For a recovery: its preflight is the undo itself, which reports what it may not do."""
    options = KubernetesOptions.model_validate(state["options"])
    guards = ClusterGuards.model_validate(state["guards"])
    async with port_of(options) as port:
        hold = Hold.of(port, options.agent_namespace, run)
        run.progress("taking the run's Lease over")
        with unreachable():
            await hold.lease.take_over(state["holder"])
        again = journaled(options, guards, hold)
        run.opened(again)
        async with Opening(port, guards, run, hold).opened(again) as cluster:
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
    async def opened(self, state: Mapping[str, Any]) -> AsyncIterator[Cluster]:
        """The environment, its Lease kept. An error of the body leaves as it is, not in a group."""
        failure: Exception | None = None
        with unreachable(while_opening=lambda: not self._is_open):
            await self._hold.records.begin(state)
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
            self._run.unopened(await self._ended_unopened())

    async def _ended_unopened(self) -> list[Left]:
        why = f"no answer within {CLEAN_UP_S:g} s"
        with anyio.move_on_after(CLEAN_UP_S, shield=True):
            try:
                await self._hold.end()
            except PortError as err:
                why = err.message
            else:
                return []
        detail = f"the environment did not open, and what it made may not be removed: {why}"
        return [Left("the run's Lease and records", detail, f"offbus recover {self._run.run_id}")]


def port_of(options: KubernetesOptions) -> AbstractAsyncContextManager[KubernetesPort]:
    """The port that the options ask for."""
    return open_port(
        options.login(), agent_namespace=options.agent_namespace, qps=options.qps, burst=options.burst
    )


def journaled(options: KubernetesOptions, guards: ClusterGuards, hold: Hold) -> dict[str, Any]:
    """What `reopen` needs. The kubeconfig is named, never copied: credentials stay out of the journal."""
    named = {**options.model_dump(mode="json"), "kubeconfig": str(options.login().file)}
    return {
        "options": options.model_dump(mode="json") if options.login().in_cluster else named,
        "guards": guards.model_dump(mode="json"),
        "holder": hold.lease.holder,
    }


@contextmanager
def unreachable(while_opening: Callable[[], bool] = lambda: True) -> Iterator[None]:
    """While the environment is opened, a refused or failed call means that the run cannot be."""
    try:
        yield
    except PortError as err:
        if not while_opening():
            raise
        raise CouldNotRun(f"the cluster cannot be used: {err.message}", hint=err.hint) from err
