"""Real processes on the lone API server: a runner in the middle of a drill, and reapers beside it.

The drill creates a ConfigMap and a Deployment and waits for pods that nobody makes: it stands there, all of its
effects done and recorded, until something ends it.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import yaml

from offbus_steps.kubernetes.port import KubernetesPort
from offbus_steps.port import Ref, WatchType

__all__ = ["LEASE_S", "Drill", "Process", "changes", "gone", "offbus_process", "seen"]

LEASE_S = 3
WATCHDOG_S = 90
IMAGE = {"name": "main", "image": "none"}


class Process:
    """A program of ours, its output in a file."""

    def __init__(self, command: list[str], out: Path, env: dict[str, str]) -> None:
        self.out = out
        with out.open("wb") as file:
            self._process = subprocess.Popen(
                command, stdout=file, stderr=file, env=env, start_new_session=True
            )

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def ended(self) -> int:
        """Its exit status."""
        with anyio.fail_after(WATCHDOG_S):
            return await anyio.to_thread.run_sync(self._process.wait, abandon_on_cancel=True)

    def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        self._process.kill()
        self._process.wait(timeout=WATCHDOG_S)

    @property
    def said(self) -> str:
        return self.out.read_text(errors="replace")

    @property
    def logged(self) -> list[dict[str, Any]]:
        """The JSON lines among what it said."""
        return [json.loads(line) for line in self.said.splitlines() if line.startswith("{")]


@dataclass
class Drill:
    """A scenario, and what it makes."""

    folder: Path
    kubeconfig: Path
    namespace: str
    """Of the drill, and of the agents."""
    undo_timeout: str = "5m"
    matrix: bool = False
    """The runner plays a cell of a matrix."""
    started: list[Process] = field(default_factory=list)

    @property
    def made(self) -> list[Ref]:
        return [Ref("ConfigMap", "notes", self.namespace), Ref("Deployment", "llm", self.namespace)]

    def write(self) -> Path:
        deployment = {
            "replicas": 1,
            "selector": {"matchLabels": {"app": "llm"}},
            "template": {"metadata": {"labels": {"app": "llm"}}, "spec": {"containers": [IMAGE]}},
        }
        objects = [
            {"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b"}},
            {"apiVersion": "apps/v1", "kind": "Deployment", "spec": deployment},
        ]
        for obj, ref in zip(objects, self.made, strict=True):
            obj["metadata"] = {"name": ref.name, "namespace": ref.namespace}
        (self.folder / "llm.yaml").write_text(yaml.safe_dump_all(objects))
        deploy = {"manifest": "llm.yaml", "port": 8000, "collect": False}
        scenario: dict[str, Any] = {
            "offbus": 1,
            "name": "stands",
            "environment": {"uses": "kubernetes", "lease_s": LEASE_S, "agent_namespace": self.namespace},
            "guards": {"namespaces": [self.namespace]},
            "undo_timeout": self.undo_timeout,
            "steps": [{"id": "deploy", "uses": "deploy", "with": deploy}],
        }
        if self.matrix:
            scenario |= {"inputs": {"n": {"type": "integer", "default": 0}}, "matrix": {"n": [1, 2]}}
            deploy["port"] = "${{ 8000 + inputs.n }}"
        path = self.folder / "stands.yaml"
        path.write_text(yaml.safe_dump(scenario))
        return path

    @property
    def options(self) -> dict[str, str]:
        return {"kubeconfig": str(self.kubeconfig), "agent_namespace": self.namespace}

    def run(self) -> Process:
        """The runner."""
        chosen = f"--env-set=kubeconfig={self.kubeconfig}"
        return self._start("run", [*OFFBUS, "run", str(self.write()), chosen])

    def reaper(self, name: str = "reaper", kubeconfig: Path | None = None) -> Process:
        """A replica of the reaper."""
        command = [
            sys.executable,
            "-m",
            "offbus_steps.kubernetes.ownership.reaper",
            "--namespace",
            self.namespace,
        ]
        return self._start(name, [*command, "--kubeconfig", str(kubeconfig or self.kubeconfig)])

    def recover(self, *arguments: str, state: str = "elsewhere") -> Process:
        """`offbus recover`, on a machine that has no run folder."""
        sets = [f"--env-set={key}={value}" for key, value in self.options.items()]
        command = [*OFFBUS, "recover", "--env", "kubernetes", *sets, *arguments]
        return self._start("recover", command, state=state)

    def _start(self, name: str, command: list[str], *, state: str = "state") -> Process:
        env = {**os.environ, "XDG_STATE_HOME": str(self.folder / state)}
        self.started.append(Process(command, self.folder / f"{name}-{len(self.started)}.log", env))
        return self.started[-1]

    @contextmanager
    def ending_all(self) -> Iterator["Drill"]:
        try:
            yield self
        finally:
            for one in self.started:
                one.send(signal.SIGCONT)
                one.kill()


OFFBUS = [sys.executable, "-m", "offbus"]


def offbus_process(folder: Path, *arguments: str) -> Process:
    """`offbus ARGUMENTS`, with its state below a folder."""
    env = {**os.environ, "XDG_STATE_HOME": str(folder / "state")}
    return Process([*OFFBUS, *arguments], folder / f"{arguments[0]}.log", env)


async def seen(
    port: KubernetesPort, ref: Ref, process: Process | None = None, *, deleting: bool = False
) -> dict[str, Any]:
    """Wait for an object, by watch; with `deleting`, until its deletion is asked for."""

    def fits(obj: dict[str, Any]) -> bool:
        meta = obj["metadata"]
        return meta.get("name") == ref.name and (not deleting or "deletionTimestamp" in meta)

    with watchdog(process):
        listing = await port.objects.list(ref.kind, namespace=ref.namespace)
        for one in listing.items:
            if fits(one):
                return one
        async with changes(port, ref, listing.resource_version) as events:
            async for event in events:
                if fits(event.object) and event.type is not WatchType.DELETED:
                    found: dict[str, Any] = event.object
                    return found
    raise AssertionError("the watch ended")


async def gone(port: KubernetesPort, ref: Ref, process: Process | None = None) -> None:
    """Wait until an object is gone, by watch."""
    with watchdog(process):
        listing = await port.objects.list(ref.kind, namespace=ref.namespace)
        if all(one["metadata"]["name"] != ref.name for one in listing.items):
            return
        async with changes(port, ref, listing.resource_version) as events:
            async for event in events:
                if event.object["metadata"].get("name") == ref.name and event.type is WatchType.DELETED:
                    return


def changes(port: KubernetesPort, ref: Ref, version: str) -> "aclosing[Any]":
    """The changes of a kind in a namespace, closed when they are left."""
    return aclosing(port.objects.watch(ref.kind, namespace=ref.namespace, resource_version=version))


@contextmanager
def watchdog(process: Process | None) -> Iterator[None]:
    try:
        with anyio.fail_after(WATCHDOG_S):
            yield
    except TimeoutError:
        raise AssertionError(f"it took too long; {process.said if process else ''}"[-3000:]) from None
