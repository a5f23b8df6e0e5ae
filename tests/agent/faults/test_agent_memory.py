"""What a process makes of its files in /proc does not fill the agent's memory: real processes, the real agent."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.kits import REPOSITORY
from tests.kits.agent.node_world import OWNER, POD, Node, RunningAgent, request

MOST_MIB = 128
"""Half of what the DaemonSet's agent may use (deploy/base/agent.yaml)."""
MAPPINGS = 40_000
"""A third less than a process may have (vm.max_map_count): 300 MB of /proc/PID/maps."""


@contextmanager
def bomb(node: Node, what: str, *arguments: object, pod: str = POD) -> Iterator[str]:
    """A process of a pod that is larger in /proc than in memory; yields what it says."""
    program = REPOSITORY / "tests/kits/agent/bomb.py"
    command = [sys.executable, str(program), what, *map(str, arguments)]
    env = {"PATH": os.environ["PATH"], "HOME": str(node.root / "pods" / pod)}
    with subprocess.Popen(
        command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def most_mib(agent: RunningAgent) -> int:
    """The most that it has used so far."""
    status = Path(f"/proc/{agent.process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Removed by another program: its paths are longer than pytest can handle."""
    made = tmp_path / "deep"
    made.mkdir()
    yield made
    subprocess.run(["rm", "-rf", made], check=True)


@pytest.mark.guarantee("G29")
@pytest.mark.parametrize("pod", [POD, "../.."], ids=["of a pod", "of nobody"])
def test_a_process_with_many_mappings_is_not_found_and_fills_no_memory(
    node: Node, agent: RunningAgent, folder: Path, pod: str
) -> None:
    with bomb(node, "mappings", folder, MAPPINGS, node.ctl, pod=pod) as said:
        assert said == "ready"
        for fault in ("f1", "f2"):
            agent.post("/faults", request(fault, planes=["cuda"]), expect=201)
            agent.post(f"/faults/{fault}/recover", OWNER)
        assert most_mib(agent) < MOST_MIB
    assert agent.stop()[1].count("too many mappings") == (1 if pod == POD else 0)


def test_an_environment_without_end_fills_no_memory(node: Node, agent: RunningAgent) -> None:
    """prctl(2), PR_SET_MM_MAP: a process chooses which of its memory /proc/PID/environ shows."""
    with bomb(node, "environment", 400 << 20) as said:
        if said == "refused":
            pytest.skip("this kernel has no PR_SET_MM_MAP")
        agent.get(f"/pods/{POD}/preload")
        assert most_mib(agent) < MOST_MIB
