"""A real cluster for the responder's tests, and the responder's two programs as real processes."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import anyio

from offbus_agent.kernel_log.open import open_kernel_log
from offbus_sandbox.layout import Layout
from offbus_steps.port import NotFound, Object, Port, Ref
from tests.kits.watching import watch_until

WATCHDOG_S = 60.0
STATE = "dgxc.nvidia.com/nvsentinel-state"


class Program:
    """One of the responder's programs, running."""

    def __init__(self, argv: list[str], log: Path) -> None:
        ready, tell = os.pipe()
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "offbus_sandbox.responder", *argv, "--ready-fd", str(tell)],
                stdout=out,
                stderr=out,
                pass_fds=(tell,),
                start_new_session=True,
            )
        os.close(tell)
        self._log = log
        with os.fdopen(ready, "rb") as pipe:
            assert pipe.readline() == b"ready\n", log.read_text()

    def kill(self) -> None:
        """As an out-of-memory killer does."""
        self._process.kill()
        self._process.wait(WATCHDOG_S)

    def end(self) -> int:
        """Ask it to stop; its exit code."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        return self._process.wait(WATCHDOG_S)


class Cluster:
    """The sandbox's files and port, and what tests do with them."""

    def __init__(self, layout: Layout, port: Port, programs: ExitStack) -> None:
        self.layout = layout
        self.objects = port.objects
        self._programs = programs

    def detector(self, node: str, **settings: Any) -> Program:
        """Start a node's detector."""
        root = str(self.layout.node(node))
        return self._start(["detector", "--node", node, "--root", root], f"detector-{node}", settings)

    def controller(self, **settings: Any) -> Program:
        """Start the controller."""
        return self._start(["controller"], "controller", settings)

    def _start(self, argv: list[str], name: str, settings: Mapping[str, Any]) -> Program:
        config = self.layout.root / f"{name}.json"
        config.write_text(json.dumps(settings))
        log = self.layout.root / f"{name}.log"
        program = Program([*argv, "--api", str(self.layout.api), "--config", str(config)], log)
        self._programs.callback(program.end)
        return program

    def gpus(self, node: str) -> list[dict[str, str]]:
        """The node's GPUs, from the metadata that a detector reads."""
        path = self.layout.node(node) / "var/lib/nvsentinel/gpu_metadata.json"
        gpus: list[dict[str, str]] = json.loads(path.read_text())["gpus"]
        return gpus

    def log_line(self, node: str, text: str) -> None:
        """A line of a user-space program in the node's kernel log."""
        open_kernel_log(self.layout.node(node) / "kmsg").write(text)

    def xid(self, node: str, text: str, *, gpu: int = 0, opening: str = "offbus=t ;") -> None:
        """An XID line about one of the node's GPUs."""
        pci = self.gpus(node)[gpu]["pci_address"].partition(".")[0]
        self.log_line(node, f"{opening}NVRM: Xid (PCI:{pci}): {text}")

    async def pod(self, name: str, node: str, namespace: str = "drill-demo", **metadata: Any) -> Ref:
        """A pod that runs on the node until it is asked to end."""
        container = {"name": "main", "image": "none", "command": ["sleep", "600"]}
        spec = {"nodeName": node, "containers": [container], "terminationGracePeriodSeconds": 1}
        await self.objects.create(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name, "namespace": namespace, **metadata},
                "spec": spec,
            }
        )
        ref = Ref("Pod", name, namespace)
        await self.until(ref, lambda pod: bool(pod) and pod.get("status", {}).get("phase") == "Running")
        return ref

    async def node(self, name: str) -> Object:
        """The node now."""
        return await self.objects.get(Ref("Node", name))

    async def until(self, ref: Ref, wanted: Callable[[Object], Any]) -> Object:
        """Watch until the object (`{}` when it is gone) is as wanted."""
        with anyio.fail_after(WATCHDOG_S):
            listed = await self.objects.list(ref.kind)
            now: Object = next((o for o in listed.items if Ref.of(o) == ref), {})
            if wanted(now):
                return now
            async for event in self.objects.watch(ref.kind, resource_version=listed.resource_version):
                if event.type != "BOOKMARK" and Ref.of(event.object) == ref:
                    now = {} if event.type == "DELETED" else event.object
                    if wanted(now):
                        return now
        raise AssertionError("the watch ended")

    async def state(self, node: str, *wanted: str) -> Object:
        """Watch until the node's state label is one of these ("" for none)."""
        return await self.until(
            Ref("Node", node), lambda n: (n["metadata"].get("labels") or {}).get(STATE, "") in wanted
        )

    async def logged(self, program: str, words: str) -> None:
        """Wait until a program's log has these words."""
        log = self.layout.root / f"{program}.log"
        await watch_until(self.layout.root, lambda: words in log.read_text())

    async def exists(self, ref: Ref) -> bool:
        """Whether the object is there."""
        try:
            await self.objects.get(ref)
        except NotFound:
            return False
        return True


def condition(node: Object, kind: str = "SysLogsXIDError") -> dict[str, Any]:
    """One condition of a node; empty when it has none of that type."""
    return next((c for c in node["status"]["conditions"] if c["type"] == kind), {})
