"""The port's whole conformance suite on the real cluster: pods that run, agents on their nodes, traffic by proxy."""

import pytest

from offbus_steps.kubernetes.port import AGENT_NAMESPACE, KubernetesPort
from offbus_steps.kubernetes.rbac.access_review import preflight
from offbus_steps.testing import conformance

pytestmark = [pytest.mark.anyio, pytest.mark.cluster]

TestObjects = conformance.ObjectsConformance
TestWatches = conformance.WatchConformance
TestPods = conformance.PodsConformance
TestTraffic = conformance.TrafficConformance
TestAgents = conformance.AgentsConformance


async def test_the_cluster_is_fit_for_a_drill(port: KubernetesPort) -> None:
    await preflight(port, drill_namespace="", agent_namespace=AGENT_NAMESPACE)


@pytest.mark.parametrize("node", ["n1", "n2", "n3"])
async def test_every_agent_has_its_own_gpus_and_all_planes(port: KubernetesPort, node: str) -> None:
    health = (await port.agents.request(node, "GET", "/health")).json()
    assert len(health["gpus"]) == 4
    assert {gpu["pci"][:4] for gpu in health["gpus"]}.isdisjoint({"0000"})
    assert {name: plane["ok"] for name, plane in health["planes"].items()} == dict.fromkeys(
        ("kernel", "cuda", "nvml"), True
    )
