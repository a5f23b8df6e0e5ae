"""What a pod has mounted where its monitor's file would be may never answer: nobody waits for it."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from offbus_agent.faults import monitors
from offbus_agent.faults.hidden import OwnLooks
from offbus_agent.faults.monitors import knowledge_of
from tests.kits.agent.hung_fuse import NAME, hung_fuse, needs_fuse
from tests.kits.agent.node_world import GPU0, GPU1, OWNER, Node, RunningAgent, list_gpus, request

pytestmark = [needs_fuse, pytest.mark.timeout(120)]
HOW = ["pending", "taken"]
WATCHDOG_S = 60
LOOKS = 5
MOST_STUCK = 3


def children_of(pid: int) -> list[int]:
    """Its children that have not been waited for."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


@pytest.mark.parametrize("how", HOW)
def test_a_monitor_whose_file_system_does_not_answer_knows_no_gpu(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(monitors, "_NAME", NAME)
    list_gpus(node, GPU0)
    with hung_fuse(tmp_path, how) as hung:
        why = knowledge_of(node.root, OwnLooks(Path("/")), of_machine=True).why_not(GPU0)
        assert why.startswith(f"the monitor (pid {hung.pid})"), why
        assert "does not answer" in why


class Looking(Node):
    """A node with a kernel log of its own, whose agent takes the program for a monitor."""

    def arguments(self, *more: str) -> list[str]:
        """A command line for its agent."""
        main = self.root / "main.py"
        main.write_text(
            f"import sys, offbus_agent.faults.monitors as monitors\nmonitors._NAME = {NAME!r}\n"
            "from offbus_agent.__main__ import main\nsys.exit(main())\n"
        )
        return [sys.executable, str(main), *super().arguments(*more)[3:]]


@pytest.mark.parametrize("how", HOW)
def test_clear_is_answered_and_the_agent_goes_on(tmp_path: Path, how: str) -> None:
    """However often it is asked for."""
    node = Looking(tmp_path / "node")
    list_gpus(node, GPU0, GPU1)
    with hung_fuse(tmp_path, how) as hung:
        agent = RunningAgent(node)
        try:
            agent.post("/faults", request(planes=["kernel"]), expect=201)
            agent.post("/faults/f1/disarm", OWNER)
            for _ in range(LOOKS):
                (left,) = agent.post("/faults/f1/clear", OWNER)["left_out"]
                assert "does not answer" in left["why"]
            assert len(children_of(agent.process.pid)) <= MOST_STUCK
            assert agent.get("/health")["faults"] == 1
            agent.process.send_signal(signal.SIGTERM)
            agent.process.wait(timeout=WATCHDOG_S)
        except subprocess.TimeoutExpired:
            raise AssertionError("the agent does not end") from None
        finally:
            hung.kill()
            agent.client.close()
            agent.process.kill()
            agent.process.communicate()
