"""Runs that are killed in whatever state the responder is: whoever finishes them, it does nothing more to the node.

As tests/steps/inject/test_nothing_lives_on.py, which plays it with the run's own undo on `local`; here `offbus recover`
and the reaper finish in turn. The stand-in's delays are a twentieth of NVSentinel's.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import anyio
import pytest

from offbus_sandbox.responder.datastore import Datastore
from offbus_steps.kubernetes.port import open_port
from offbus_steps.kubernetes.rest.connection import Login
from offbus_steps.nvsentinel import names
from offbus_steps.port import Ref
from tests.kits.cluster.client import Cluster
from tests.kits.kubernetes.installing import ClusterPaths, configure_responder
from tests.kits.kubernetes.torture_bench import LEASE_S, NAMESPACE, Bench, Struck
from tests.kits.steps.aftermath import marks_of, seen_for

pytestmark = [pytest.mark.cluster, pytest.mark.long, pytest.mark.timeout(3600)]

WATCHED_S = 8.0
LIMIT_S = 240
PATIENT = [{"name": "*", "mode": "AllowCompletion"}]
NEVER_S = 600
UNREAPED_S = 120
"""A Lease that the reaper does not find expired before the person who recovers has taken it."""


@dataclass(frozen=True)
class Case:
    """A state of the responder: its settings, and the record of the journal at which the run is killed."""

    settings: Mapping[str, Any]
    text: str
    xid: int = 79
    cordoned: bool = False
    """By somebody, before the fault."""


def state(name: str) -> str:
    """Of a node."""
    return f'"to":"state {name}"'


REQUESTED = state("remediation-succeeded")
CASES = {
    "not detected yet": Case({"poll_s": 0.75}, '"kind":"fault_proven"'),
    "reported, not quarantined": Case({"quarantine_delay_s": 3}, '"to":"SysLogsXIDError True"'),
    "quarantined": Case({"drain_delay_s": 3}, state("quarantined")),
    "draining": Case({"drain": PATIENT}, state("draining")),
    "drained": Case({"remediate_delay_s": 3}, state("drain-succeeded")),
    "remediating": Case({"remediate_delay_s": 1}, state("remediating")),
    "repair pending": Case({"signal_delay_s": NEVER_S, "janitor_delay_s": NEVER_S}, REQUESTED),
    "repair running": Case({"janitor_delay_s": 3}, REQUESTED),
    "nobody repairs": Case({"janitor": "manual"}, REQUESTED),
    "a human must act": Case({}, state("remediation-failed"), xid=73),
    "dry run": Case({"dry_run": True}, REQUESTED),
    "cordoned before": Case({"drain": PATIENT}, state("draining"), cordoned=True),
    "resets are asked for": Case({"reset_by": "GPUReset", "janitor": "manual"}, REQUESTED, xid=119),
}


@pytest.fixture(scope="module")
def bench(
    cluster: Cluster, drill_paths: ClusterPaths, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Bench]:
    bench = Bench(cluster, tmp_path_factory.mktemp("lives-on"))
    bench.build()
    yield bench
    bench.remove()
    configure_responder(drill_paths, {})


def recovered(_bench: Bench, struck: Struck) -> None:
    """By the person who started it."""
    done = subprocess.run(
        [sys.executable, "-m", "offbus", "recover", "latest"],
        env={**os.environ, "XDG_STATE_HOME": str(struck.state)},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert (done.returncode, "residue: none" in done.stdout) == (0, True), done.stdout + done.stderr


def reaped(bench: Bench, _struck: Struck) -> None:
    """By the cluster's reaper; nobody returns."""
    known = set(bench.reports())
    bench.finished()
    [summary] = [text for run, text in bench.reports().items() if run not in known]
    assert summary.endswith("residue: none"), summary


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_nothing_appears_after_a_killed_run_was_finished(
    bench: Bench, drill_paths: ClusterPaths, case: Case, request: pytest.FixtureRequest
) -> None:
    configure_responder(drill_paths, case.settings)
    [pod] = bench.cluster.get("pods", "-n", NAMESPACE, "--field-selector=status.phase=Running")["items"]
    node = str(pod["spec"]["nodeName"])
    if case.cordoned:
        bench.cluster.kubectl("cordon", node)
    try:
        before = marks_of(bench.cluster.get("node", node))
        finish = (recovered, reaped)[list(CASES.values()).index(case) % 2]
        lease_s = UNREAPED_S if finish is recovered else LEASE_S
        struck = bench.killed_in_state(case.xid, case.text, lease_s=lease_s)
        assert struck.code == 128 + 9, struck.output
        finish(bench, struck)
        assert anyio.run(partial(afterwards, bench, node)) == [before]
    finally:
        if case.cordoned:
            bench.cluster.kubectl("uncordon", node)
    bench.cluster.kubectl("rollout", "status", "deployment/llm", "-n", NAMESPACE, "--timeout=90s")


async def afterwards(bench: Bench, node: str) -> list[dict[str, Any]]:
    """The node's marks as they change while it is watched; nothing of the responder is left to be worked on."""
    async with open_port(Login(str(bench.cluster.paths.kubeconfig))) as port:
        seen = await seen_for(port.objects, node, WATCHED_S)
        documents = await Datastore(port.objects, "nvsentinel").documents(node)
        assert [found for found in documents if found.is_live and not found.event.isHealthy] == []
        made = [one for kind in names.MAINTENANCE_KINDS for one in (await port.objects.list(kind)).items]
        assert made == [], json.dumps(made)
        assert await port.objects.get(Ref("Node", node))
    return seen
