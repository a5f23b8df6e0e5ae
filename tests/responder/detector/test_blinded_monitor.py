"""A reset line for a GPU that the monitor does not know blinds it: for how long, and at what cost. On virtual time."""

import logging
from pathlib import Path

import pytest

from offbus_sandbox.responder.boot_id import renew_boot_id
from tests.kits.responder.detector_world import GPU_A, GPU_B, DetectorWorld
from tests.kits.virtual_time import in_virtual_time

TOLD = "blind until a restart"


@in_virtual_time
async def test_later_xids_go_unseen_and_it_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = DetectorWorld(tmp_path)
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
    world = DetectorWorld(tmp_path)
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
    world = DetectorWorld(tmp_path)
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
    world = DetectorWorld(tmp_path)
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
    world = DetectorWorld(tmp_path)
    async with world.detector(only_known_gpus=True):
        world.reset(GPU_B)
        world.xid(79)
        assert "ErrorCode:79" in await world.told()
