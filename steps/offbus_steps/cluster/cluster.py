"""An open cluster: the environment of a run, as steps and undos use it.

It holds the port and, for the length of the run, the observer's watches, the leases and the followers of faults, all
in one task group. A background task that fails stops the run by `abort` instead of cancelling the task group, so that
the undo always runs. Adapters make one with `open_cluster`; steps get it with `cluster_of`.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
from pydantic import BaseModel

from offbus.abilities import ability
from offbus.environment import RunHandle
from offbus.errors import StepError, ungrouped
from offbus_steps.access import access
from offbus_steps.agents.client import NodeAgents
from offbus_steps.agents.lease_renewal import Leases
from offbus_steps.agents.live_faults import Faults
from offbus_steps.background_tasks import Background
from offbus_steps.inference_client.requests import Answers
from offbus_steps.node_clock import NodeClocks, now_ns
from offbus_steps.nvsentinel.dry_run import DryPart, dry_part
from offbus_steps.port import Port, Ref
from offbus_steps.residue.external_changes import (
    BREAKER,
    NodeFault,
    RecordsCause,
    change_of_breaker,
    external_change,
)
from offbus_steps.residue.fingerprint import FINGERPRINT_ACCESS, fingerprint
from offbus_steps.residue.others_objects import Touched
from offbus_steps.safety.guards import ClusterGuards
from offbus_steps.watch.node_history import NodeHistory
from offbus_steps.watch.observer import Observer

if TYPE_CHECKING:
    from offbus.step import Context, StepType
    from offbus.undo import Undo, UndoContext

__all__ = ["CLUSTER_ACCESS", "Cluster", "cluster_of", "open_cluster"]

CLUSTER_ACCESS = FINGERPRINT_ACCESS | access("list watch", "Node")
"""What an open cluster itself uses, whichever adapter opened it."""
OnClose = Callable[[bool], Awaitable[None]]
ExtraFingerprint = Callable[[], Awaitable[dict[str, Any]]]


class Cluster:
    """Implements offbus.environment.Environment over a port. `clock` is that of the run's events and leases."""

    def __init__(
        self,
        port: Port,
        run: RunHandle,
        guards: ClusterGuards,
        tasks: Background,
        on_close: OnClose | None = None,
        extra_fingerprint: ExtraFingerprint | None = None,
        clock: Callable[[], int] = now_ns,
    ) -> None:
        self.port = port
        self.run = run
        self.guards = guards
        self.tasks = tasks
        self.clocks = NodeClocks()
        self.agents = NodeAgents(port.agents, run, self.clocks)
        self.observer = Observer(port, run, tasks)
        self.log = self.observer.log
        self.leases = Leases(self.agents, run, tasks, clock=clock)
        self.faults = Faults(self.agents, run, self.log, self.clocks, tasks)
        self._answers: dict[Ref, Answers] = {}
        self.history = NodeHistory(self.log)
        self.injected: dict[str, int] = {}
        """Faults whose consequences this process would have seen: the mark before each was injected."""
        self.evictable: set[Ref] = set()
        """Pods that a responder would evict, as they were before each injection."""
        self.dry_run_only = False
        """Whether a fault may only be answered by a responder in dry run."""
        self.responder_parts: tuple[DryPart, ...] = ()
        """What the responders were when a fault was injected that is to be answered."""
        self.prepared: set[Ref] = set()
        """Workloads that a step of this process patched for the shim, and no undo has restored."""
        self.ends_with_run = False
        """Nobody else uses it, and it is taken down after the undo: what became of its responder outlives no run."""
        self.take_down = ""
        """The command that takes it down, a responder that answers nothing any more with it; "" where none does."""
        self._on_close = on_close
        self._extra = extra_fingerprint

    def answers_of(self, target: Ref) -> Answers:
        """What a target answered in this run: another one's answers say nothing about it."""
        return self._answers.setdefault(target, Answers())

    async def start(self) -> None:
        """Watch the nodes and hold the guards from here on.

        Guards that are broken already are left to the injecting steps, which refuse: a recovery must not be stopped.
        """
        await self.observer.watch("Node")
        self.observer.check(self._stop_when_put_back)
        if self.guards.broken(self.log.world) is None:
            self.observer.check(self._stop_when_guard_broken)

    async def fingerprint(self) -> dict[str, Any]:
        """Everything that a run may touch (offbus_steps.residue.fingerprint), and what the adapter adds."""
        own = await fingerprint(self.port.objects, self.agents, self.guards, self.run.run_id)
        if self.ends_with_run:
            own = {item: value for item, value in own.items() if not item.endswith(BREAKER)}
        return own if self._extra is None else own | await self._extra()

    def external_change(
        self,
        item: str,
        before: Mapping[str, Any],
        after: Mapping[str, Any],
        recorded: Sequence[BaseModel] | None,
    ) -> str | None:
        """Who made a difference, if not this run (`TellsExternalChanges`)."""
        if item.endswith(BREAKER):
            return change_of_breaker(item, after, recorded)
        if recorded is None:
            return external_change(item, before, after, None)
        faults = [
            NodeFault(
                one.node,
                one.cause,
                self.history.since(one.node, self.injected.get(one.fault, 0)),
                complete=one.fault in self.injected,
            )
            for one in recorded
            if isinstance(one, RecordsCause)
        ]
        answered = (self.guards.responder_namespace,) if faults else ()
        touched = Touched.of(recorded, answered, run=self.run.run_id, pods=self._pods_seen)
        return external_change(item, before, after, faults, touched)

    def require_acting(self, step: "StepType") -> None:
        """Refuse a step that waits for what the responder's dry run leaves out, as far as the injection has seen one.

        For the begin of its `run`: it would wait for its whole timeout. Raises StepError.
        """
        if (dry := dry_part(self.responder_parts, step.waits_for)) is not None:
            raise StepError(dry.why_not(step.name), hint=dry.way_out(step.name))

    async def require_rights(self, namespaces: Collection[str]) -> None:
        """Refuse a step that acts in namespaces where permissions are missing: for the begin of its `run`.

        Raises StepError. An adapter without permissions refuses nothing.
        """

    def proves(self, undo: "Undo") -> bool:
        """Whether something else than a run's folder, which anybody may have packed, says that it recorded an undo.

        What does not, an undo acts on only by what the cluster itself shows: the run's label, an agent's book.
        """
        return True

    async def may_change(self) -> None:
        """Raises StepError when a lease was lost: the engine asks before every effect (`HoldsLeases`)."""
        self.leases.check()

    async def missed_changes(self) -> str | None:
        """Why something that happened may not have been seen (`MayMissChanges`)."""
        return await self.observer.missed_changes()

    async def close(self, *, finished: bool) -> None:
        """End what was started for this run; the adapter decides what remains for a recovery."""
        if self._on_close is not None:
            await self._on_close(finished)

    def _pods_seen(self, nodes: Collection[str]) -> frozenset[Ref]:
        return self.history.pods(nodes) | self.evictable

    def _stop_when_guard_broken(self) -> None:
        faulted = [live.target for live in self.faults.live.values() if live.ended_ns is None]
        broken = self.guards.broken(self.log.world, faulted)
        if broken:
            self.run.abort(broken)

    def _stop_when_put_back(self) -> None:
        """Reverting the spec in the middle of a drill restarts the target's pods: no measurement is valid then."""
        for ref in self.prepared:
            workload = self.log.world.workload(ref)
            if workload is not None and not workload.shim:
                self.prepared.discard(ref)
                self.run.abort(f"{ref} was reverted by somebody else: the shim is no longer in its spec")
                return


@asynccontextmanager
async def open_cluster(
    port: Port,
    run: RunHandle,
    guards: ClusterGuards,
    *,
    on_close: OnClose | None = None,
    extra_fingerprint: ExtraFingerprint | None = None,
    clock: Callable[[], int] = now_ns,
    kind: type[Cluster] = Cluster,
) -> AsyncIterator[Cluster]:
    """Open a cluster for a run, a recovery or a look. Raises PortError when its nodes cannot be listed."""
    with ungrouped():
        async with anyio.create_task_group() as tasks:
            cluster = kind(port, run, guards, Background(tasks, run), on_close, extra_fingerprint, clock)
            await cluster.start()
            yield cluster
            tasks.cancel_scope.cancel()


def cluster_of(ctx: "Context | UndoContext") -> Cluster:
    """The cluster that a step or an undo acts on. Raises StepError when the environment is not a cluster."""
    cluster = ability(ctx.environment, Cluster)
    if cluster is None:
        raise StepError(f"this step needs a cluster, not a {type(ctx.environment).__name__}")
    return cluster
