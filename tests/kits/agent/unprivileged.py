"""A node whose agent runs as in a cluster: as the image's user, without capabilities, beside the helper of root's."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.kits.agent.helper_world import RunningHelper
from tests.kits.agent.node_world import Node, RunningAgent, free_port
from tests.kits.cluster.cgroups import hierarchies

AGENT = 60883
"""The agent's user in deploy/, and the helper's default."""
HELPER_CAPABILITIES = sum(1 << number for number in (0, 1, 2, 3, 19, 34))
"""CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER, SYS_PTRACE, SYSLOG (capabilities(7))."""
WHAT_IT_MAY_WRITE = """
import os, sys
for folder, folders, files in os.walk(sys.argv[1]):
    folders[:] = [one for one in folders if os.path.join(folder, one) != "/proc"]
    for one in (folder, *(os.path.join(folder, file) for file in files)):
        if os.access(one, os.W_OK) and not os.path.islink(one):
            print(one)
"""
"""A program that tells what its user may write below a folder."""
needs_root = pytest.mark.skipif(
    os.getuid() != 0 or not shutil.which("setpriv"), reason="only root may be somebody else (setpriv)"
)


class RootsNode(Node):
    """A node that is there already, whose agent is root."""

    def __init__(self, other: Node) -> None:
        self.__dict__.update(other.__dict__)


class ClosedNode(Node):
    """A node of root's; only what the helper makes is its agent's."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        shutil.rmtree(root / "run")
        os.chown(self.token_file, AGENT, AGENT)

    def arguments(self, *more: str) -> list[str]:
        """A command line for its agent, started by root."""
        ids = [f"--reuid={AGENT}", f"--regid={AGENT}", "--clear-groups"]
        nothing = ["--inh-caps=-all", "--bounding-set=-all", "--no-new-privs"]
        return ["setpriv", *ids, *nothing, *super().arguments(*more)]

    def helper(self, *options: str) -> RunningHelper:
        """Its helper, started."""
        return RunningHelper(self.root, *options, uid=AGENT)

    def agent(self, helper: RunningHelper, *options: str) -> RunningAgent:
        """Its agent, ready, on a port of its own."""
        where = ("--host", "127.0.0.1", "--port", free_port())
        return RunningAgent(self, *where, "--kmsg-helper", str(helper.socket), *options)


def status_of(pid: int) -> dict[str, str]:
    """/proc/PID/status."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


@contextmanager
def cgroup_of_a_pod(pod: str, container: str) -> Iterator[list[str]]:
    """How to start a process in a container's cgroup, named as the kubelet names it. It must have ended at the end."""
    top = hierarchies()[-1] / f"offbus-test-{os.getpid()}"
    inner = top / f"pod{pod}" / container
    inner.mkdir(parents=True)
    try:
        yield ["sh", "-c", f'echo $$ > {inner}/cgroup.procs && exec "$@"', "sh"]
    finally:
        for folder in (inner, inner.parent, top):
            folder.rmdir()
