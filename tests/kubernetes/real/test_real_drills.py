"""The shipped scenarios, unchanged, on the real cluster and on `local`: both pass, and both tell the same story.

A DaemonSet of agents writes the machine's real kernel log, the stand-in responder detects and acts from pods of its
own, and the targets are the scenarios' own DynamoGraphDeployments.
"""

import json
from dataclasses import dataclass

import jsonschema
import pytest

from tests.kits.cluster.client import Cluster
from tests.kits.cluster.plan import node_named
from tests.kits.drill.playing import REPOSITORY, SCENARIOS, Finished, Offbus
from tests.kits.kubernetes.installing import ClusterPaths, kubectl
from tests.kits.kubernetes.stories import CAUSES, is_weather, kinds, out_of_order, outcome

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]  # the first one may have to build the cluster
LIMIT_S = 600
FINAL = {"xid79": "remediation-succeeded", "xid94": ""}


@dataclass(frozen=True)
class Pair:
    """One scenario, played in both places."""

    name: str
    cluster: Finished
    local: Finished


@pytest.fixture(scope="module", params=sorted(FINAL))
def pair(
    request: pytest.FixtureRequest, drill_paths: ClusterPaths, tmp_path_factory: pytest.TempPathFactory
) -> Pair:
    """The scenario as it is, with `--env` alone."""
    name = str(request.param)
    scenario = SCENARIOS / f"{name}.yaml"
    real = Offbus(tmp_path_factory.mktemp(name), LIMIT_S)
    on_cluster = real.run(
        scenario, "--env", "kubernetes", "--env-set", f"kubeconfig={drill_paths.kubeconfig}"
    )
    return Pair(name, on_cluster, Offbus(tmp_path_factory.mktemp("l"), LIMIT_S).run(scenario))


def test_it_passes_with_nothing_left(pair: Pair) -> None:
    finished = pair.cluster
    assert finished.code == 0, finished.output
    assert finished.report["verdict"] == "passed"
    assert finished.report["residue"] == []
    assert not (finished.folder / "unfinished").exists()
    schema = json.loads((REPOSITORY / "schemas/report.json").read_text())
    jsonschema.validate(finished.report, schema)


def test_it_comes_to_the_same_as_local(pair: Pair) -> None:
    assert pair.local.code == 0, pair.local.output
    assert outcome(pair.cluster.report) == outcome(pair.local.report)


def test_the_same_kinds_of_things_happen_in_the_same_lanes(pair: Pair) -> None:
    assert kinds(pair.cluster.report) == kinds(pair.local.report)


def test_every_cause_comes_before_its_consequence_in_both(pair: Pair) -> None:
    assert out_of_order(pair.cluster.report) == []
    assert out_of_order(pair.local.report) == []
    told = kinds(pair.cluster.report)
    known = {kind for chain in CAUSES for kind in chain if not is_weather(kind)}
    assert (known <= told) is (pair.name == "xid79"), known - told


def test_the_nodes_journal_has_the_line_and_a_pods_process_saw_the_fault(
    pair: Pair, cluster: Cluster
) -> None:
    [fault] = pair.cluster.report["faults"]
    injected = pair.cluster.step("inject")["outputs"]
    node = node_named(injected["node"])
    cluster.inside(node, "journalctl", "--sync")
    journal = cluster.inside(node, "journalctl", "-k", "-o", "json", f"--grep={fault['id']}")
    [entry] = [json.loads(line) for line in journal.splitlines()]
    assert (entry["_TRANSPORT"], entry["_HOSTNAME"]) == ("kernel", node.name)
    assert f"Xid (PCI:{node.number:04x}:" in entry["MESSAGE"]
    assert fault["planes"]["kernel"]["evidence"]["line"].endswith(entry["MESSAGE"])
    call = fault["planes"]["cuda"]["evidence"]
    assert call["function"].startswith("cu")
    assert call["pod"] in injected["fault"]["holders"].values()


def test_nothing_of_the_drill_is_in_the_cluster(pair: Pair, drill_paths: ClusterPaths) -> None:
    assert "drill-demo" not in kubectl(drill_paths, "get", "namespaces", "-o", "name")
    assert kubectl(drill_paths, "get", "rebootnodes,gpuresets", "-o", "name") == ""
    leases = kubectl(drill_paths, "get", "leases,configmaps", "-n", "offbus-system", "-o", "name")
    assert "offbus-run" not in leases
    assert "lease.coordination.k8s.io/offbus\n" not in f"{leases}\n"
