"""While the agent makes a pod's events file, root in the pod puts something else under the name that it is made by.

Since CPython 3.14, `os.link` follows a link that stands at its source, as POSIX says (python/cpython#81793): it is
played here for the Pythons before.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from offbus_agent.page.events_folder import EventsFolder
from tests.kits.agent.node_world import POD, Node

LINK = os.link
OTHER = "0a1b2c3d-0000-4000-8000-000000000002"


@pytest.fixture
def victim(node: Node) -> Path:
    """Something of the agent's on the same filesystem that a link of the pod's can name."""
    made = node.events.parents[2] / "page" / "victim"
    made.parent.mkdir(parents=True, exist_ok=True)
    made.write_text("the node's own")
    return made


def removed(aside: Path, victim: Path) -> None:
    aside.unlink()
    aside.symlink_to(victim)


def moved(aside: Path, victim: Path) -> None:
    aside.rename(aside.with_name("moved"))
    aside.symlink_to(victim)


def linked(aside: Path, victim: Path) -> None:
    """The made file keeps a name, so that its inode can still be linked."""
    LINK(aside, aside.with_name("kept"), follow_symlinks=False)
    removed(aside, victim)


@pytest.mark.guarantee("G29")
@pytest.mark.parametrize("swap", [removed, moved, linked])
@pytest.mark.parametrize("follows", [True, False])
def test_nothing_but_the_made_file_gets_the_name(
    node: Node,
    victim: Path,
    monkeypatch: pytest.MonkeyPatch,
    swap: Callable[[Path, Path], None],
    follows: bool,
) -> None:
    theirs = node.events.parents[1] / OTHER
    theirs.mkdir()
    swapped: list[Path] = []
    root = os.open("/", os.O_RDONLY)

    def link(
        src: str,
        dst: str | Path,
        *,
        src_dir_fd: int | None = None,
        dst_dir_fd: int | None = None,
        follow_symlinks: bool = follows,
    ) -> None:
        for aside in theirs.glob(".events.*"):
            swap(aside, victim)
            swapped.append(aside)
        source = Path(src).absolute()  # with a folder's descriptor, which is ignored then: linkat(2)
        LINK(
            source,
            dst,
            src_dir_fd=root,
            dst_dir_fd=dst_dir_fd,
            follow_symlinks=follow_symlinks,
        )

    with monkeypatch.context() as patched:
        patched.setattr(os, "link", link)
        folder = EventsFolder(theirs.parent)
        folder.read()
    os.close(root)
    assert swapped
    assert victim.stat().st_nlink == 1
    assert victim.read_text() == "the node's own"
    made = theirs / "events"
    assert not made.is_symlink()
    assert not made.exists() or not made.samefile(victim)
    folder.read()
    assert (theirs / "events").is_file()
    assert not (theirs / "events").is_symlink()
    assert POD in {one.name for one in folder.pods()}
