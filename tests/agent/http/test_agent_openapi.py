"""The agent answers as its published document says, whatever it is asked: no 5xx, nothing that is not documented."""

import json

import pytest

from offbus_agent.http.openapi import agent_document
from tests.kits import REPOSITORY
from tests.kits.agent.node_world import Node, RunningAgent, free_port, request
from tests.kits.openapi import check_operation, labels

DOCUMENT = agent_document()
STREAM = "GET /events"
"""Does not end: tests/agent/http/test_event_stream.py has it."""


def test_the_committed_document_is_the_served_one(agent: RunningAgent) -> None:
    committed = json.loads((REPOSITORY / "schemas/agent.openapi.json").read_text(encoding="utf-8"))
    assert agent.get("/openapi.json") == committed == DOCUMENT


@pytest.mark.slow
@pytest.mark.parametrize("label", [one for one in labels(DOCUMENT) if one != STREAM])
def test_every_answer_is_as_documented(agents, node: Node, label: str) -> None:
    port = free_port()
    agent = agents.start("--host", "127.0.0.1", "--port", port, "--rate", "6000", "--burst", "1000")
    agent.post("/faults", request(planes=["kernel"]), expect=201)
    given_path = {"id": "f1"} if "{id}" in label else None
    headers = {"X-Offbus-Token": node.token}
    check_operation(DOCUMENT, label, f"http://127.0.0.1:{port}", headers, given_path=given_path)


@pytest.mark.slow
@pytest.mark.parametrize("label", ["POST /faults", "GET /faults", "DELETE /faults/{id}", "GET /health"])
def test_so_is_every_answer_to_a_stranger(agents, label: str) -> None:
    port = free_port()
    agents.start("--host", "127.0.0.1", "--port", port)
    check_operation(DOCUMENT, label, f"http://127.0.0.1:{port}", {"X-Offbus-Token": "guessed"})
