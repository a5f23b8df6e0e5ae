"""Agents: reached by the node's name, with the token added on the way."""
# ruff: noqa: S101  this is a test suite that ships

import pytest

from offbus_steps.port import Port, Unavailable

__all__ = ["AgentsConformance"]


class AgentsConformance:
    """See the package's docstring for the fixtures."""

    async def test_an_agent_answers_for_its_node(self, port: Port, node: str) -> None:
        reply = await port.agents.request(node, "GET", "/health")
        assert reply.status == 200
        assert reply.json()["node"] == node

    async def test_it_is_found_among_many(self, port: Port, node: str) -> None:
        assert node in await port.agents.ready([node])

    async def test_an_agents_refusal_is_an_answer(self, port: Port, node: str) -> None:
        reply = await port.agents.request(node, "GET", "/faults/no-such-fault")
        assert reply.status == 404
        assert reply.json()["detail"]

    async def test_a_write_is_admitted(self, port: Port, node: str) -> None:
        # the body is refused, which shows that the request itself was admitted
        reply = await port.agents.request(node, "POST", "/faults", json={"not": "a fault"})
        assert reply.status in {400, 422}

    async def test_a_node_without_an_agent_is_unavailable(self, port: Port) -> None:
        with pytest.raises(Unavailable):
            await port.agents.request("no-such-node", "GET", "/health")
