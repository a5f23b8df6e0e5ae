"""A detector that found a GPU gone clears that at the node's next reboot, also when it was restarted in between."""

from pathlib import Path

import pytest

from offbus_agent.catalogue.catalogue import NO_XID, lookup
from offbus_sandbox.responder.boot_id import renew_boot_id
from offbus_steps.port import Ref
from tests.kits.responder.detector_world import PCI_A, DetectorWorld
from tests.kits.responder.responder_world import condition
from tests.kits.virtual_time import in_virtual_time

CHECK = "SysLogsGPUFallenOff"
LINE = "offbus=a1 ;" + lookup(NO_XID).line(pci=PCI_A, gpu=0, driver=580)


def status(world: DetectorWorld) -> str | None:
    return condition(world.port.store.get(Ref("Node", "node-1")), CHECK).get("status")


async def finds_a_gpu_gone(world: DetectorWorld, *, before_xids: int = 0) -> None:
    async with world.detector():
        world.write(LINE)
        for _ in range(before_xids):
            await world.told()
            world.xid(48)
        await world.told()
    assert status(world) == "True"


@pytest.mark.parametrize("starts", [1, 2])
@pytest.mark.parametrize("before_xids", [0, 2], ids=["its last line", "not its last line"])
@in_virtual_time
async def test_a_reboot_while_it_is_away_clears_it(tmp_path: Path, starts: int, before_xids: int) -> None:
    world = DetectorWorld(tmp_path)
    await finds_a_gpu_gone(world, before_xids=before_xids)
    for _ in range(starts - 1):
        async with world.detector():
            await world.told()
        assert status(world) == "True", "no reboot yet"
    renew_boot_id(world.root)
    async with world.detector():
        await world.told()
    assert status(world) == "False"


@in_virtual_time
async def test_a_reboot_after_a_restart_clears_it(tmp_path: Path) -> None:
    world = DetectorWorld(tmp_path)
    await finds_a_gpu_gone(world)
    async with world.detector():
        await world.told()
        renew_boot_id(world.root)
        await world.told()
    assert status(world) == "False"


@in_virtual_time
async def test_a_reboot_that_takes_its_state_along_clears_it(tmp_path: Path) -> None:
    """A machine's /var/run is empty after a reboot."""
    world = DetectorWorld(tmp_path)
    await finds_a_gpu_gone(world)
    (world.root / "var/run/nvsentinel/syslog_monitor/state.json").unlink()
    renew_boot_id(world.root)
    async with world.detector():
        await world.told()
    assert status(world) == "False"


@in_virtual_time
async def test_a_node_on_which_no_gpu_was_gone_never_has_that_condition(tmp_path: Path) -> None:
    world = DetectorWorld(tmp_path)
    for _ in range(2):
        async with world.detector():
            world.xid(79)
            await world.told()
        renew_boot_id(world.root)
    await finds_a_gpu_gone(world)
    renew_boot_id(world.root)
    async with world.detector():
        await world.told()
        world.port.store.patch(Ref("Node", "node-1"), {"status": {"conditions": []}}, status=True)
        renew_boot_id(world.root)
        await world.told()
    assert status(world) is None, "it was cleared at the reboot before"
