"""What others do to the agent makes no lease end late and no fault stay armed: only watchdogs here, at ten times the
goal of benchmarks/floods.py (50 ms)."""

import threading
from collections.abc import Callable

import pytest

from offbus_agent.lease_time import boottime_ns
from tests.kits.agent.floods import gone_at, rows_flood
from tests.kits.agent.node_world import LEASE, OWNER, Node, RunningAgent, request

LATE_NS = 500_000_000
"""A watchdog: ten times the goal."""


@pytest.mark.guarantee("G30")
def test_a_flood_of_rows_makes_no_lease_end_late(node: Node, agent: RunningAgent) -> None:
    made = agent.post("/faults", request(planes=["cuda"], ttl_s=1.5), expect=201)
    with rows_flood(node, made["generation"]):
        ended = gone_at(node.ctl, made["expires_ns"] + 20 * LATE_NS)
    assert ended - made["expires_ns"] < LATE_NS
    assert agent.get("/faults/f1")["state"] == "expired"


@pytest.mark.guarantee("G30")
def test_a_flood_of_rows_keeps_nobody_from_renewing_and_disarming(node: Node, agent: RunningAgent) -> None:
    made = agent.post("/faults", request(planes=["cuda"], ttl_s=60), expect=201)
    calls: list[Callable[[], object]] = [
        lambda: agent.post("/faults/f1/renew", LEASE),
        lambda: agent.post("/faults/f1/renew", LEASE),
    ]
    with rows_flood(node, made["generation"]):
        for call in calls:
            begun = boottime_ns()
            call()
            assert boottime_ns() - begun < LATE_NS
        asked = boottime_ns()
        disarming = threading.Thread(target=agent.post, args=("/faults/f1/disarm", OWNER))
        disarming.start()
        assert gone_at(node.ctl, asked + 20 * LATE_NS) - asked < LATE_NS
        disarming.join()


@pytest.mark.parametrize("asked", ["/health", "/faults", "/faults/f1"])
def test_a_flood_of_rows_leaves_the_agent_able_to_answer(node: Node, agent: RunningAgent, asked: str) -> None:
    made = agent.post("/faults", request(planes=["cuda"], ttl_s=60), expect=201)
    with rows_flood(node, made["generation"]):
        begun = boottime_ns()
        agent.get(asked)
        assert boottime_ns() - begun < 4 * LATE_NS
