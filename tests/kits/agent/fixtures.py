"""Fixtures of a node folder and the agents on it, for the `conftest.py` of each folder of tests that plays them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kits.agent.node_world import Agents, Node

__all__ = ["agents", "node"]


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """A node's folder."""
    return Node(tmp_path / "n")


@pytest.fixture
def agents(node: Node) -> Iterator[Agents]:
    """Agents on it, which end with the test."""
    found = Agents(node)
    yield found
    found.stop_all()
