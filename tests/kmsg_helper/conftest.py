"""A node's folder that other users get to: pytest's own are closed to them."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kits.agent.node_world import Agents, Node


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Removed at the end."""
    with tempfile.TemporaryDirectory(prefix="offbus-node-") as made:
        Path(made).chmod(0o755)
        yield Path(made)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path / "n")


@pytest.fixture
def agents(node: Node) -> Iterator[Agents]:
    found = Agents(node)
    yield found
    found.stop_all()
