"""Who may write to an agent, and read of it: the token, its file, and how it is replaced."""

import pytest

from offbus_agent.http.token import reading
from tests.kits.agent.node_world import OWNER, request


class TestTokens:
    """No write without the token; to read what is armed, and what runs on the node, needs it or the one for reads."""

    @pytest.mark.parametrize(
        "headers",
        [
            pytest.param({}, id="none"),
            pytest.param({"X-Offbus-Token": "wrong"}, id="wrong"),
            pytest.param({"X-Offbus-Token": ""}, id="empty"),
            pytest.param({"Authorization": "Basic abc"}, id="other-scheme"),
        ],
    )
    @pytest.mark.parametrize(
        "path",
        [
            "/faults",
            "/inject-xid",
            "/faults/f/arm",
            "/faults/f/disarm",
            "/faults/f/renew",
            "/faults/f/recover",
        ],
    )
    def test_a_write_without_the_token_is_refused(self, agent, node, path, headers):
        agent.client.headers.pop("X-Offbus-Token")
        reply = agent.client.post(path, json=request(), headers=headers)
        assert (reply.status_code, reply.json()["code"]) == (401, "unauthorized")
        assert node.token not in reply.text
        assert node.lines() == []

    def test_bearer_is_accepted(self, agent, node):
        agent.client.headers.pop("X-Offbus-Token")
        reply = agent.client.post(
            "/faults", json=request(), headers={"Authorization": f"Bearer {node.token}"}
        )
        assert reply.status_code == 201

    OPEN = ("/health", "/readyz", "/openapi.json")
    READ = ("/faults", "/faults/f1", "/faults/f1/events", "/pods/u/preload")

    def test_whether_it_lives_is_anybody_s_to_read(self, agent):
        agent.client.headers.pop("X-Offbus-Token")
        assert {agent.client.get(path).status_code for path in self.OPEN} == {200}

    @pytest.mark.parametrize("path", READ)
    def test_reading_faults_and_processes_needs_a_token(self, agent, node, path):
        """A fault's id is in its kernel line, by which an Event is believed: it is for whoever made it."""
        agent.post("/faults", request("f1"), expect=201)
        for given in ("", "wrong"):
            agent.client.headers["X-Offbus-Token"] = given
            reply = agent.client.get(path)
            assert (reply.status_code, reply.json()["code"]) == (401, "unauthorized")
            assert "f1" not in reply.json()["detail"]
        for given in (node.token, reading(node.token)):
            agent.client.headers["X-Offbus-Token"] = given
            assert agent.client.get(path).status_code in (200, 404)

    def test_the_token_for_reads_writes_nothing(self, agent, node):
        agent.client.headers["X-Offbus-Token"] = reading(node.token)
        assert agent.client.post("/faults", json=request()).status_code == 401
        assert node.lines() == []
        assert node.token not in reading(node.token)

    def test_a_rotated_token_counts_at_once(self, agent, node):
        node.token_file.write_text("another")
        assert agent.refused("/faults", request())[0] == 401
        agent.client.headers["X-Offbus-Token"] = "another"
        agent.post("/faults", request(), expect=201)

    def test_while_a_token_is_replaced_both_are_admitted(self, agent, node):
        node.token_file.write_text("the-next-one\n" + node.token + "\n")
        agent.post("/faults", request(), expect=201)
        agent.client.headers["X-Offbus-Token"] = "the-next-one"
        agent.post("/faults/f1/disarm", OWNER)
        for read in (node.token, "the-next-one"):
            agent.client.headers["X-Offbus-Token"] = reading(read)
            assert agent.client.get("/faults").status_code == 200
        node.token_file.write_text("the-next-one\n")
        agent.client.headers["X-Offbus-Token"] = node.token
        assert agent.client.get("/faults").status_code == 401

    def test_a_token_file_that_became_readable_by_everybody_stops_writes(self, agent, node):
        node.token_file.chmod(0o644)
        status, error = agent.refused("/faults", request())
        assert (status, error["code"]) == (503, "no_token")


def test_a_token_never_reaches_the_log(agents, node):
    agent = agents.start()
    agent.post("/faults", request(), expect=201)
    agent.client.post("/faults", headers={"X-Offbus-Token": "guessed-token"}, json={})
    _, stderr = agent.stop()
    assert node.token not in stderr
    assert "guessed-token" not in stderr
