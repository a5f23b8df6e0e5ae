"""A full disk: what heals takes effect all the same and is persisted later; what harms is refused."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from offbus_agent.page.control import ControlPage
from tests.kits.agent.node_world import GPU1, LEASE, OWNER, Agents, Node, RunningAgent, request

SUCCESSOR = {"run": "run-1", "epoch": 2}


@contextmanager
def full_disk(node: Node) -> Iterator[None]:
    """Every write of the agent's state ends with ENOSPC."""
    temporary = node.state.with_suffix(".new")
    temporary.symlink_to("/dev/full")
    yield
    temporary.unlink()


def armed(node: Node) -> set[str]:
    """The faults on the node's page, as processes would see them."""
    return {slot.fault_id for slot in ControlPage.create(node.ctl).read().slots}


class TestHeals:
    """The first request of a new owner is the one whose epoch has to be persisted."""

    def test_the_first_recover_of_a_new_owner_disarms(self, agent: RunningAgent, node: Node) -> None:
        agent.post("/faults", request(), expect=201)
        with full_disk(node):
            recovered = agent.post("/faults/f1/recover", SUCCESSOR)
            assert recovered["state"] == "disarmed"
            assert armed(node) == set()
            assert agent.post("/faults/f1/recover", SUCCESSOR) == recovered

    def test_the_first_disarm_of_a_new_owner_disarms(self, agent: RunningAgent, node: Node) -> None:
        agent.post("/faults", request(), expect=201)
        with full_disk(node):
            assert agent.post("/faults/f1/disarm", SUCCESSOR)["state"] == "disarmed"
            assert armed(node) == set()

    def test_the_responders_clear_is_written(self, agent: RunningAgent, node: Node) -> None:
        agent.post("/faults", request(), expect=201)
        with full_disk(node):
            agent.post("/faults/f1/disarm", OWNER)
            (left_out,) = agent.post("/faults/f1/clear", SUCCESSOR)["left_out"]
            assert "gpu_metadata.json does not list it" in left_out["why"]

    def test_it_is_persisted_by_the_next_request_that_can(self, agents: Agents, node: Node) -> None:
        agent = agents.start()
        agent.post("/faults", request(), expect=201)
        with full_disk(node):
            agent.post("/faults/f1/recover", SUCCESSOR)
        assert agent.refused("/faults/unknown/disarm", SUCCESSOR)[0] == 404
        agent.stop(signal.SIGKILL)
        again = agents.start()
        assert again.get("/faults")["faults"] == []
        assert again.refused("/faults", request("f2"))[1]["code"] == "stale_epoch"

    def test_what_was_disarmed_stays_disarmed_after_a_restart_that_read_the_old_state(
        self, agents: Agents, node: Node
    ) -> None:
        agent = agents.start()
        agent.post("/faults", request(), expect=201)
        with full_disk(node):
            agent.post("/faults/f1/recover", SUCCESSOR)
            agent.stop(signal.SIGKILL)
        again = agents.start()
        assert again.get("/faults/f1")["state"] == "disarmed"
        assert armed(node) == set()
        again.post("/faults/f1/recover", SUCCESSOR)
        assert again.get("/faults")["faults"] == []


class TestHarms:
    """Nothing is armed, and no lease grows, that a restarted agent would not know."""

    def test_a_new_owner_can_arm_nothing(self, agent: RunningAgent, node: Node) -> None:
        agent.post("/faults", request(armed=False), expect=201)
        with full_disk(node):
            for path, body in (
                ("/faults", request("f2", epoch=2, gpus=[GPU1])),
                ("/faults/f1/arm", {**LEASE, "epoch": 2}),
            ):
                status, error = agent.refused(path, body)
                assert (status, error["code"]) == (500, "not_persisted")
                assert "No space left on device" in error["detail"]
            assert armed(node) == set()
            assert node.lines() == []

    def test_a_new_owner_cannot_extend_a_lease(self, agent: RunningAgent, node: Node) -> None:
        made = agent.post("/faults", request(), expect=201)
        with full_disk(node):
            status, error = agent.refused("/faults/f1/renew", {**LEASE, "epoch": 2, "ttl_s": 600})
            assert (status, error["code"]) == (500, "not_persisted")
            assert agent.get("/faults/f1")["expires_ns"] == made["expires_ns"]


class TestNobodyRecovers:
    """Faults that have ended and are not recovered: the newest 64 stay."""

    def test_those_that_ended_longest_ago_are_dropped(self, agent: RunningAgent) -> None:
        agent.post("/faults", request("armed", planes=["cuda"], gpus=[GPU1]), expect=201)
        for n in range(70):
            agent.post("/faults", request(f"f{n}", armed=False), expect=201)
        agent.post("/faults/armed/disarm", OWNER)  # the last to end
        expected = [*(f"f{n}" for n in range(7, 70)), "armed"]
        assert [fault["id"] for fault in agent.get("/faults")["faults"]] == expected
        assert agent.refused("/faults/f6/disarm", OWNER)[1]["code"] == "no_such_fault"

    def test_an_armed_fault_is_never_dropped(self, agent: RunningAgent, node: Node) -> None:
        agent.post("/faults", request("armed", planes=["cuda"], gpus=[GPU1]), expect=201)
        for n in range(70):
            agent.post("/faults", request(f"f{n}", armed=False), expect=201)
        assert agent.get("/faults/armed")["state"] == "armed"
        assert len(agent.get("/faults")["faults"]) == 65
        assert armed(node) == {"armed"}

    def test_a_recover_of_one_that_was_long_armed_can_be_repeated(self, agent: RunningAgent) -> None:
        agent.post("/faults", request("armed", planes=["cuda"], gpus=[GPU1]), expect=201)
        for n in range(70):
            agent.post("/faults", request(f"f{n}", armed=False), expect=201)
            agent.post(f"/faults/f{n}/recover", OWNER)
        recovered = agent.post("/faults/armed/recover", OWNER)
        assert agent.post("/faults/armed/recover", OWNER) == recovered
