"""Helper and server are killed again and again under faults: all that live are known, none outlives its lease."""

import os
import signal
from pathlib import Path

import pytest

from offbus_agent.page.control import ControlPage
from tests.kits.agent.node_world import GPU0, GPU1, OWNER, RunningAgent, request
from tests.kits.agent.unprivileged import ClosedNode, needs_root

KILLS = int(os.environ.get("OFFBUS_KILLS", "10"))
"""`OFFBUS_KILLS=100` for a night."""
LIMITS = ("--rate=6000", "--burst=1000", "--max-faults=8")
BUDGET = "--lines-per-hour=3600"

pytestmark = [needs_root, pytest.mark.timeout(600)]


def inject(agent: RunningAgent, number: int) -> None:
    """One that stays, one whose lease ends at once, and a line."""
    agent.post("/faults", request(f"stays{number}", planes=["cuda"], ttl_s=600), expect=201)
    agent.post("/faults", request(f"ends{number}", planes=["nvml"], gpus=[GPU1], ttl_s=1), expect=201)
    agent.post("/faults", request(f"line{number}", planes=["kernel"], gpus=[GPU0], ttl_s=600), expect=201)


@pytest.mark.guarantee("G33")
def test_every_fault_is_known_and_none_is_left_armed(open_folder: Path) -> None:
    node = ClosedNode(open_folder / "n")
    helper = node.helper(BUDGET)
    agent = node.agent(helper, *LIMITS)
    for number in range(KILLS):
        inject(agent, number)
        if number % 2:
            agent.stop(signal.SIGKILL)
            agent = node.agent(helper, *LIMITS)
        else:
            helper.stop(signal.SIGKILL)
            helper = node.helper(BUDGET)
        agent.wait_for(f"ends{number}", "expired")
        states = {one["id"]: one["state"] for one in agent.get("/faults")["faults"]}
        assert states == {f"stays{number}": "armed", f"ends{number}": "expired", f"line{number}": "armed"}
        for fault in states:
            agent.post(f"/faults/{fault}/recover", OWNER)
    assert len(node.lines()) == KILLS
    assert ControlPage.create(node.ctl).read().slots == ()
    assert "Traceback" not in agent.stop()[1]
    helper.stop()
