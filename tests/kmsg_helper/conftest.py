"""Folders of helpers' nodes: short, because they hold sockets, and one that other users get to."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kits.agent.fixtures import agents, node

__all__ = ["agents", "node"]


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """In place of pytest's: the path of a socket has at most 107 bytes (unix(7)), and CI's folders are longer."""
    with tempfile.TemporaryDirectory(prefix="offbus-node-", dir="/tmp") as made:
        yield Path(made)


@pytest.fixture
def open_folder(tmp_path: Path) -> Path:
    """The same, open to other users: below pytest's own, and below a private TMPDIR, they get to nothing."""
    tmp_path.chmod(0o755)
    return tmp_path
