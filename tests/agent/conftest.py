"""Fixtures of the agent's tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kits.agent.node_world import Agents, Node, RunningAgent


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path / "n")


@pytest.fixture
def agents(node: Node) -> Iterator[Agents]:
    found = Agents(node)
    yield found
    found.stop_all()


@pytest.fixture
def agent(agents: Agents) -> RunningAgent:
    return agents.start()
