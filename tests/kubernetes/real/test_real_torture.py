"""Torture on the real cluster: runners that are killed and never return, and a platform that breaks under the drill.

Each time the reaper of deploy/base finishes the run, and everything is as it was. CI strikes at a few records, drawn;
`make torture-cluster` at every one (OFFBUS_TORTURE=all). OFFBUS_SEED repeats a draw.
"""

import os
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.kits.cluster import api, lifecycle, network
from tests.kits.cluster.client import Cluster
from tests.kits.cluster.control_plane import start_program
from tests.kits.cluster.plan import node_named
from tests.kits.cluster.processes import end_role
from tests.kits.kubernetes.installing import ClusterPaths
from tests.kits.kubernetes.torture_bench import Bench

pytestmark = [pytest.mark.cluster, pytest.mark.long, pytest.mark.timeout(7200)]

SEED = int(os.environ.get("OFFBUS_SEED") or random.randrange(10**6))
DRAWN = 3
WATCHDOG_S = 90
SELECTOR = "app.kubernetes.io/name=offbus-agent"


@pytest.fixture(scope="module")
def bench(cluster: Cluster, paths: ClusterPaths, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    bench = Bench(cluster, tmp_path_factory.mktemp("torture"))
    bench.build()
    yield bench
    bench.remove()


@pytest.fixture(scope="module")
def before(bench: Bench) -> dict[str, Any]:
    """What the place is like, and is to be like after each strike, whatever became of the one before."""
    return bench.picture()


def test_a_runner_that_is_killed_after_a_record_is_finished_by_the_reaper(
    bench: Bench, before: dict[str, Any]
) -> None:
    whole = bench.killed_after(0)
    assert whole.code in (0, 1), whole.output  # 1: a line that no process was faulted for proves no fault
    assert bench.settled(before) == []
    every = range(1, whole.records + 1)
    drawn = random.Random(SEED).sample(every, DRAWN)
    places = every if os.environ.get("OFFBUS_TORTURE") == "all" else sorted(drawn)
    finished = 0
    for record in places:
        known = set(bench.reports())
        assert bench.killed_after(record).code == 128 + 9
        bench.finished()
        left = bench.settled(before)
        assert not left, f"killed after record {record} of {whole.records} (OFFBUS_SEED={SEED}): {left}"
        summaries = [text for run, text in bench.reports().items() if run not in known]
        assert all(text.endswith("residue: none") for text in summaries), summaries
        finished += len(summaries)
    print(f"torture: {len(places)} kills, {finished} finished by the reaper, residue 0")
    assert finished, f"no kill left anything to the reaper: {places}"


def kill_agent(bench: Bench, node: str) -> None:
    """Its DaemonSet makes another one, which reads its faults back from the node's disk."""
    chosen = ["pods", "-n", "offbus-system", "-l", SELECTOR, f"--field-selector=spec.nodeName={node}"]
    bench.cluster.kubectl("delete", *chosen, "--grace-period=0", "--force")


def kill_program(role: str) -> Callable[[Bench, str], None]:
    """As a crash; it is started again at once, as whoever runs a control plane does."""

    def kill(bench: Bench, _node: str) -> None:
        paths = bench.cluster.paths
        end_role(paths, role)
        start_program(paths, lifecycle.programs(paths), role)
        with api.client(paths) as made:
            api.wait_healthy(made, lambda: lifecycle.check_alive(paths), WATCHDOG_S)
        bench.cluster.kubectl("wait", "nodes", "--all", "--for=condition=Ready", "--timeout=90s")

    return kill


def kill_kubelet(bench: Bench, node: str) -> None:
    """The node's first process starts it again."""
    bench.cluster.inside(node_named(node), "pkill", "-9", "-x", "kubelet")


def cut_off(bench: Bench, node: str) -> None:
    """Until the control plane has given the node up, and evicts its pods."""
    network.cut(node_named(node))
    try:
        bench.cluster.kubectl("wait", f"node/{node}", "--for=condition=Ready=Unknown", "--timeout=90s")
    finally:
        network.reconnect(node_named(node))
    bench.cluster.kubectl("wait", f"node/{node}", "--for=condition=Ready", "--timeout=90s")


DISTURBANCES: dict[str, Callable[[Bench, str], None]] = {
    "agent": kill_agent,
    "api server": kill_program("kube-apiserver"),
    "etcd": kill_program("etcd"),
    "kubelet": kill_kubelet,
    "network of the node": cut_off,
}


@pytest.mark.parametrize("what", DISTURBANCES)
def test_what_breaks_under_a_drill_keeps_no_residue(bench: Bench, before: dict[str, Any], what: str) -> None:
    """The runner dies with the fault in place, and the platform breaks before the reaper has come."""
    known = set(bench.reports())
    assert bench.killed_at('"kind":"step_started","step":"stands"').code == 128 + 9
    [node] = bench.faulted()
    DISTURBANCES[what](bench, node)
    bench.finished()
    assert bench.settled(before) == []
    [summary] = [text for run, text in bench.reports().items() if run not in known]
    assert summary.endswith("residue: none"), summary
