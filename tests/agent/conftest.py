"""Fixtures of the agent's tests."""

import pytest

from tests.kits.agent.fixtures import agents, node
from tests.kits.agent.node_world import Agents, RunningAgent

__all__ = ["agents", "node"]


@pytest.fixture
def agent(agents: Agents) -> RunningAgent:
    return agents.start()
