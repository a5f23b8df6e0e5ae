"""A node with a kernel log, and its detector, which may be restarted: on virtual time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import TaskStatus

from offbus_agent.kernel_log.open import open_kernel_log
from offbus_sandbox.responder.config import ResponderConfig
from offbus_sandbox.responder.detector.detector import Detector
from offbus_steps.port import Object, Ref
from tests.kits.agent.node_world import metadata_text
from tests.kits.responder.responder_world import condition
from tests.kits.steps.timed_port import TimedPort, put

GPU_A = "GPU-4c6a1b2c-0000-4000-8000-00000000000a"
GPU_B = "GPU-4c6a1b2c-0000-4000-8000-00000000000b"
PCI_A = "0000:3b:00"
POLL_S = 15


class DetectorWorld:
    """A node whose metadata lists GPU A, and its detector, which may be restarted."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "node-1"
        self.root.mkdir()
        self.log = self.root / "kmsg"
        self.log.touch()
        self.port = TimedPort(folder)
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1"}, "spec": {}}
        put(self.port.store, node)
        self.lists(GPU_A)

    def lists(self, *gpus: str) -> None:
        path = self.root / "var/lib/nvsentinel/gpu_metadata.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(metadata_text(*gpus))

    def write(self, text: str) -> None:
        open_kernel_log(self.log).write(text)

    def reset(self, gpu: str) -> None:
        self.write(f"GPU reset executed: {gpu}, success: true")

    def xid(self, number: int) -> None:
        self.write(f"offbus=t ;NVRM: Xid (PCI:{PCI_A}): {number}, x")

    async def told(self) -> str:
        """What the node's condition says, after some polls."""
        await anyio.sleep(4 * POLL_S)
        node: Object = self.port.store.get(Ref("Node", "node-1"))
        found: dict[str, Any] = condition(node)
        return str(found["message"])

    @asynccontextmanager
    async def detector(self, **settings: Any) -> AsyncIterator[None]:
        config = ResponderConfig(**{"poll_s": POLL_S, "detect_delay_s": 0, **settings})
        async with anyio.create_task_group() as tasks:
            await tasks.start(follow, Detector("node-1", self.root, self.log, self.port, config))
            yield
            tasks.cancel_scope.cancel()


async def follow(detector: Detector, *, task_status: TaskStatus[None]) -> None:
    await detector.run(task_status.started)
