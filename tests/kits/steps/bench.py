"""Plays single steps and undos on a real sandbox, with the engine's own journal behind them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio

from offbus.journal.reader import read_journal
from offbus.journal.writer import JournalWriter
from offbus.runner.clock import Clock, SystemClock
from offbus.runner.recorder import JournalRecorder, RunRecorder
from offbus.step import StepType
from offbus.undo import Undo, UndoContext, UndoResult
from offbus_sandbox.adapter.port import LocalPort
from offbus_sandbox.layout import Layout
from offbus_steps.cluster.cluster import Cluster, open_cluster
from offbus_steps.port import Port
from offbus_steps.safety.guards import ClusterGuards

__all__ = ["Bench", "bench", "bench_on", "pods_of"]

WITHIN_S = 60


class Bench:
    """An open cluster, a journal, and the undos that steps recorded."""

    def __init__(self, journal: JournalWriter, clock: Clock) -> None:
        self.cluster: Cluster
        self.clock = clock
        self.ready = anyio.Event()
        """Set when a background step said so."""
        self.asked_to_stop = anyio.Event()
        """Set it to end a background step."""
        self.undos: list[Undo] = []
        self.aborted: list[str] = []
        self.stopped = anyio.Event()
        """Set when the run was aborted."""
        self._journal = journal
        self._metrics: dict[str, Any] = {}

    def abort(self, reason: str) -> None:
        """What the engine does when a guard or a lease is lost, without the stopping."""
        self.aborted.append(reason)
        self.stopped.set()

    @property
    def objects(self) -> Any:
        """The object store."""
        return self.cluster.port.objects

    async def run(self, step: StepType, *, within_s: float = WITHIN_S, **params: Any) -> Any:
        """Play a step as the engine would."""
        with anyio.fail_after(within_s):
            return await step.load_run()(Context(self, self._journal, self._metrics), step.params(**params))

    async def undo(self, undo: Undo, *, within_s: float = WITHIN_S) -> UndoResult:
        """Play an undo as another process would: from its JSON."""
        copy = type(undo).model_validate_json(undo.model_dump_json())
        recorder = JournalRecorder(self._journal, 1, self._metrics, "step")
        context = UndoContext(
            run=self._journal.run,
            step="step",
            environment=self.cluster,
            recorder=recorder,
            run_dir=str(self._journal.path.parent),
        )
        with anyio.fail_after(within_s):
            return await copy.undo(context)

    async def undo_all(self) -> list[str]:
        """Play all recorded undos, newest first; what each said."""
        found = [(await self.undo(one)).result for one in reversed(self.undos)]
        self.undos.clear()
        return found

    def events(self, kind: str) -> list[dict[str, Any]]:
        """The data of the journal's events of a kind."""
        return [event["data"] for event in self.all_events() if event["kind"] == kind]

    def all_events(self) -> list[dict[str, Any]]:
        """The journal's events, in order."""
        return list(read_journal(self._journal.path).events)


class Context(JournalRecorder):
    """offbus.step.Context for one step."""

    def __init__(self, owner: Bench, journal: JournalWriter, metrics: dict[str, Any]) -> None:
        super().__init__(journal, 1, metrics, "step")
        self._owner = owner
        self.step = "step"
        self.environment = owner.cluster
        self.scenario_dir = str(journal.path.parent)
        self.run_dir = self.scenario_dir

    async def undo(self, undo: Undo) -> None:
        """Keep it for the test."""
        self._owner.undos.append(undo)

    async def amend(self, recorded: Undo, amended: Undo) -> None:
        """Keep that one instead."""
        undos = self._owner.undos
        undos[next(n for n, one in enumerate(undos) if one is recorded)] = amended

    def without_secrets(self, text: str) -> str:
        """No step on a bench reads one."""
        return text

    def progress(self, text: str) -> None:
        """Nobody looks."""

    def ready(self) -> None:
        """A background step is ready."""
        self._owner.ready.set()

    async def stopped(self) -> None:
        """Until the test stops it."""
        await self._owner.asked_to_stop.wait()

    def now_ns(self) -> int:
        """The runner's clock."""
        return self._owner.clock.mono_ns()

    async def sleep(self, duration: timedelta) -> None:
        """Let time pass."""
        await anyio.sleep(duration.total_seconds())


@asynccontextmanager
async def bench(layout: Layout, folder: Path, guards: ClusterGuards | None = None) -> AsyncIterator[Bench]:
    """A bench on a running sandbox."""
    async with LocalPort(layout.api) as port, bench_on(port, folder, guards) as one:
        yield one


@asynccontextmanager
async def bench_on(
    port: Port, folder: Path, guards: ClusterGuards | None = None, *, clock: Clock | None = None
) -> AsyncIterator[Bench]:
    """A bench on any cluster."""
    clock = clock or SystemClock()
    journal = JournalWriter(folder / "journal.jsonl", "testrun1", clock)
    one = Bench(journal, clock)
    run = RunRecorder(
        journal, 1, {}, environment="local", abort=one.abort, progress=lambda _step, _text: None
    )

    async def on_close(finished: bool) -> None:
        del finished

    async def nothing_more() -> dict[str, Any]:
        return {}

    async with open_cluster(
        port,
        run,
        guards or ClusterGuards(),
        on_close=on_close,
        extra_fingerprint=nothing_more,
        clock=clock.mono_ns,
    ) as cluster:
        one.cluster = cluster
        yield one
    journal.close()


def pods_of(name: str, replicas: int, *, namespace: str = "drill-a", gpus: int = 1) -> dict[str, Any]:
    """A Deployment of processes that hold GPUs and only wait."""
    limits = {"nvidia.com/gpu": str(gpus)} if gpus else {}
    container = {"name": "main", "command": ["sleep", "3600"], "resources": {"limits": limits}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"terminationGracePeriodSeconds": 1, "containers": [container]},
            },
        },
    }
