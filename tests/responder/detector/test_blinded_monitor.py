"""A reset line for a GPU that the monitor does not know blinds it: for how long, and at what cost. On virtual time."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import TaskStatus

from offbus_agent.kernel_log.open import open_kernel_log
from offbus_sandbox.responder.boot_id import renew_boot_id
from offbus_sandbox.responder.config import ResponderConfig
from offbus_sandbox.responder.detector.detector import Detector
from offbus_steps.port import Object, Ref
from tests.kits.agent.node_world import metadata_text
from tests.kits.responder.responder_world import condition
from tests.kits.steps.timed_port import TimedPort, put
from tests.kits.virtual_time import in_virtual_time

GPU_A = "GPU-4c6a1b2c-0000-4000-8000-00000000000a"
GPU_B = "GPU-4c6a1b2c-0000-4000-8000-00000000000b"
PCI_A = "0000:3b:00"
POLL_S = 15
TOLD = "blind until a restart"


class World:
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


@in_virtual_time
async def test_later_xids_go_unseen_and_it_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(tmp_path)
    with caplog.at_level(logging.INFO):
        async with world.detector():
            world.xid(48)
            world.reset(GPU_B)
            world.xid(79)
            assert "ErrorCode:48" in await world.told()
            for _ in range(50):
                world.xid(79)
                world.reset(GPU_A)
                assert "ErrorCode:79" not in await world.told()
            assert "ErrorCode:48" in await world.told(), "its clear goes unseen, too"
    assert len([one for one in caplog.messages if TOLD in one]) == 1


@in_virtual_time
async def test_a_restart_comes_to_the_same_line_first(tmp_path: Path) -> None:
    world = World(tmp_path)
    async with world.detector():
        world.reset(GPU_B)
        world.xid(79)
        assert "ErrorCode:79" not in await world.told()
    async with world.detector():
        assert "ErrorCode:79" not in await world.told(), "it knows GPU B no more than before"
    world.lists(GPU_A, GPU_B)
    async with world.detector():
        assert "ErrorCode:79" in await world.told()


@pytest.mark.parametrize("later", [True, False])
@in_virtual_time
async def test_a_reboot_of_the_node_ends_it_and_what_is_older_is_over(tmp_path: Path, later: bool) -> None:
    world = World(tmp_path)
    async with world.detector():
        world.reset(GPU_B)
        if later:
            world.xid(79)
        await world.told()
        renew_boot_id(world.root)
        assert await world.told() == "No Health Failures"
        world.xid(48)
        assert "ErrorCode:48" in await world.told()
    async with world.detector():
        world.xid(95)
        assert "ErrorCode:95" in await world.told(), "a later start does not go back to before the reboot"


@in_virtual_time
async def test_a_reboot_reads_the_metadata_anew(tmp_path: Path) -> None:
    world = World(tmp_path)
    async with world.detector():
        world.lists()
        world.xid(119)
        assert "Recommended Action=COMPONENT_RESET" in await world.told()
        renew_boot_id(world.root)
        assert await world.told() == "No Health Failures"
        world.xid(119)
        assert "Recommended Action=RESTART_VM" in await world.told()


@in_virtual_time
async def test_nodes_that_share_a_kernel_do_not_blind_each_other(tmp_path: Path) -> None:
    world = World(tmp_path)
    async with world.detector(only_known_gpus=True):
        world.reset(GPU_B)
        world.xid(79)
        assert "ErrorCode:79" in await world.told()
