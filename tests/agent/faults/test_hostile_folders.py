"""What a pod leaves in its folder of events ends no agent: it is removed piece by piece, and nothing else is."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from offbus_agent.page.events_folder import EventsFolder
from offbus_agent.planes.page_plane import HEARTBEAT_TTL_S
from tests.kits.agent.in_time import armed
from tests.kits.agent.node_world import POD, Node
from tests.kits.virtual_time import in_virtual_asyncio_time

DEEPER_THAN_PYTHON_RECURSES = 3000
GONE = "0a1b2c3d-0000-4000-8000-000000000002"


@pytest.fixture
def folder(node: Node) -> EventsFolder:
    return EventsFolder(node.events.parents[1])


@pytest.fixture
def gone(folder: EventsFolder) -> Iterator[Path]:
    """The folder of a pod that has ended."""
    left = folder.path / GONE
    left.mkdir()
    yield left
    subprocess.run(["rm", "-rf", left], check=True)  # pytest cannot remove folders that are nested so deep


def nest(into: Path, depth: int) -> None:
    """Folders in folders, deeper than any path may be long."""
    at = os.open(into, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("a", dir_fd=at)
        inner = os.open("a", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = inner
    os.close(at)


def test_nested_folders_are_removed_however_deep_they_are(folder: EventsFolder, gone: Path) -> None:
    nest(gone, DEEPER_THAN_PYTHON_RECURSES)
    (gone / "a/b").mkdir()
    (gone / "a/b/file").touch()
    folder.tidy({POD}, young_s=0)
    assert not gone.exists()


def test_what_a_link_leads_to_stays(folder: EventsFolder, gone: Path, tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/file").touch()
    (gone / "folder").symlink_to(tmp_path / "kept")
    (gone / "more").mkdir()
    (gone / "more/file").symlink_to(tmp_path / "kept/file")
    (gone / "more/folder").symlink_to(tmp_path / "kept", target_is_directory=True)
    folder.tidy({POD}, young_s=0)
    assert not gone.exists()
    assert (tmp_path / "kept/file").exists()


def test_a_round_removes_so_much_of_each_pod_and_the_next_ones_the_rest(
    folder: EventsFolder, gone: Path
) -> None:
    other = folder.path / "0a1b2c3d-0000-4000-8000-000000000003"
    (other / "file").mkdir(parents=True)
    for number in range(30):
        (gone / f"{number}").touch()
    folder.tidy({POD}, young_s=0, most=20)
    assert len(list(gone.iterdir())) == 20
    assert not other.exists()
    folder.tidy({POD}, young_s=0, most=21)
    assert not gone.exists()


class Racing(frozenset[str]):
    """The living pods; whoever is asked about is removed by somebody else at that moment."""

    folder: Path

    def __contains__(self, pod: object) -> bool:
        shutil.rmtree(self.folder / str(pod))
        return False


def test_a_folder_that_somebody_removes_meanwhile_is_no_error(folder: EventsFolder, gone: Path) -> None:
    living = Racing()
    living.folder = folder.path
    folder.tidy(living, young_s=0)
    assert not gone.exists()


@pytest.mark.guarantee("G29")
@in_virtual_asyncio_time
async def test_no_folder_ends_the_keeper_of_leases(node: Node) -> None:
    async with armed(node, ttl_s=3600) as (watched, _):
        await anyio.sleep(1)
        shutil.rmtree(node.events.parents[1])
        node.events.parents[1].touch()
        await anyio.sleep(300)
        assert anyio.current_time() - watched.heartbeat < HEARTBEAT_TTL_S
