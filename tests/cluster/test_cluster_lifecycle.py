"""A cluster comes and goes without a trace, also when it was killed on its way up."""

import signal
import subprocess
import sys

import pytest

from tests.kits import REPOSITORY
from tests.kits.cluster import lifecycle
from tests.kits.cluster.errors import ClusterError
from tests.kits.cluster.machine import check_machine, install_packages
from tests.kits.cluster.network import ip
from tests.kits.cluster.paths import ClusterPaths, locked
from tests.kits.cluster.plan import BRIDGE, NODES
from tests.kits.cluster.processes import find
from tests.kits.cluster.programs import KUBERNETES, STANDIN, build
from tests.kits.cluster.world import difference, ours, snapshot

pytestmark = [pytest.mark.cluster, pytest.mark.own_cluster, pytest.mark.timeout(1800)]
COMMAND = [sys.executable, "-m", "tests.kits.cluster"]


@pytest.fixture
def empty(paths: ClusterPaths) -> ClusterPaths:
    """No cluster: one that is there is somebody's."""
    check_machine()
    if ours(paths):
        pytest.skip(f"{paths.root} is in use: `make cluster-down` first")
    install_packages()
    for what in (KUBERNETES, STANDIN):
        build(what)
    return paths


def command(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the cluster's command."""
    return subprocess.run([*COMMAND, *arguments], cwd=REPOSITORY, capture_output=True, text=True, timeout=600)


def test_killed_on_the_way_up_the_next_down_removes_everything(empty: ClusterPaths) -> None:
    before = snapshot()
    with subprocess.Popen([*COMMAND, "up"], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        assert "API server ready" in started.stdout.readline()
        started.send_signal(signal.SIGKILL)
    assert find(empty, f"node-{NODES[0].name}"), "the nodes outlive who started them"
    assert command("status").returncode == 1
    done = command("down")
    assert done.returncode == 0, done.stderr
    assert "no process, mount, link, cgroup or rule" in done.stdout
    assert difference(before, snapshot()) == []
    assert ours(empty) == []
    assert command("down").stdout == "cluster: there is no cluster\n"


def test_two_at_a_time_are_one_too_many(empty: ClusterPaths) -> None:
    with locked(empty):
        refused = command("up")
    assert refused.returncode == 1
    assert "is at work; wait for it" in refused.stderr


def test_a_bridge_of_another_cluster_is_left_alone(empty: ClusterPaths) -> None:
    ip("link", "add", BRIDGE, "type", "bridge")
    ip("link", "set", BRIDGE, "alias", "/somebody/elses")
    try:
        for attempt in (lifecycle.up, lifecycle.down):
            with pytest.raises(ClusterError, match="a cluster already, of /somebody/elses"):
                attempt(empty, print)
        assert BRIDGE in ip("-brief", "link", "show")
    finally:
        ip("link", "del", BRIDGE)
