"""Every HTTP call of the published guides, as printed, with the token added: the gateway and the agent answer as told.

The guides are ai-dynamo/dynamo's: GPU Fault Injector Agent, GPU Fault Injection Testing Guide, User Guide, Hardware
Fault Tolerance Testing (and its framework). Of a curl nothing is changed but its host, and the names that the
guides make up: a node, an agent's address. Their Python helpers are played by the calls that they make.
"""

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from tests.kits.agent.node_world import Agents, Node, free_port
from tests.kits.drill.playing import Offbus
from tests.kits.gateway import API, TOKEN, RunningGateway, gateway_on, kept_sandbox

pytestmark = [pytest.mark.drill, pytest.mark.slow]

INJECT = """curl -X POST http://fault-injection-api:8080/api/v1/faults/gpu/inject/xid-79 \\
  -H "Content-Type: application/json" \\
  -d '{"node_name": "gpu-node-001", "gpu_id": 0}'"""
HEALTH = "curl http://localhost:8083/health"
DIRECT = """curl -X POST http://<agent-pod-ip>:8083/inject-xid \\
  -H "Content-Type: application/json" \\
  -d '{"fault_id": "test-001", "xid_type": 79, "gpu_id": 0}'"""
LIST = "curl http://localhost:8083/faults"
XIDS = (43, 48, 74, 79, 94, 95, 119, 120)
"""Those for which the testing guide has functions."""
SAID = {"fault_id", "status", "fault_type", "target", "injected_at"}
"""What the testing guide says that an injection returns."""


def curl(printed: str, url: str, *header: str, node: str = "") -> tuple[int, Any]:
    """Run a printed curl at another host; status and JSON. The header is all that is added."""
    if shutil.which("curl") is None:
        pytest.skip("there is no curl")
    here = re.sub(r"http://[^/]+", url, printed, count=1).replace("gpu-node-001", node)
    more = [word for one in header for word in ("-H", one)]
    more += ["--silent", "--show-error", "--write-out", "\n%{http_code}"]
    command = ["bash", "-c", f"{here} {shlex.join(more)}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    body, _, status = done.stdout.rpartition("\n")
    return int(status), json.loads(body)


@pytest.fixture(scope="module")
def offbus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Offbus]:
    with kept_sandbox(tmp_path_factory.mktemp("guides")) as found:
        yield found


@pytest.fixture(scope="module")
def gateway(offbus: Offbus, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    limits = tmp_path_factory.mktemp("limits") / "gateway.yaml"
    limits.write_text("per_minute: 6000\nburst: 1000\npatience: 3s\n")
    with gateway_on(offbus, "--config", str(limits)) as found:
        yield found


def with_a_workload(gateway: RunningGateway) -> str:
    """A node where the workload runs: faults have moved it."""
    for node in ("node-1", "node-2", "node-3"):
        reply = gateway.client.post(f"{API}/gpu/inject/xid-94", json={"node_name": node})
        if reply.status_code == 200:
            gateway.client.delete(f"{API}/{reply.json()['fault_id']}")
            return node
    raise AssertionError(reply.text)


class TestAgentGuide:
    """GPU Fault Injector Agent: "API Endpoints", "Usage Example"."""

    def test_inject_via_the_central_api(self, gateway: RunningGateway) -> None:
        node = with_a_workload(gateway)
        status, fault = curl(INJECT, gateway.url, f"Authorization: Bearer {TOKEN}", node=node)
        assert status == 200, fault
        assert fault.keys() >= SAID
        assert (fault["status"], fault["target"]) == ("injected", f"{node}/gpu0")
        gateway.client.delete(f"{API}/{fault['fault_id']}")

    def test_the_same_without_a_token_is_refused_unless_the_network_is_trusted(
        self, gateway: RunningGateway, offbus: Offbus
    ) -> None:
        assert curl(INJECT, gateway.url, node="node-1")[0] == 401
        for one in gateway.client.get(API).json()["faults"]:  # its run holds the sandbox until it has ended
            gateway.until(one["id"], "residue", "none")
        with gateway_on(offbus, "--allow-tokenless", token=None) as open_to_all:
            node = with_a_workload(open_to_all)
            status, fault = curl(INJECT, open_to_all.url, node=node)
            assert status == 200, fault

    def test_the_calls_of_a_node(self, agents: Agents, node: Node) -> None:
        port = free_port()
        agents.start("--host", "127.0.0.1", "--port", port)
        url, token = f"http://127.0.0.1:{port}", f"X-Offbus-Token: {node.token}"
        status, health = curl(HEALTH, url)
        assert (status, health["node"]) == (200, "node-1")
        assert curl(DIRECT, url)[0] == 401
        status, fault = curl(DIRECT, url, token)
        assert (status, fault["fault_id"], fault["status"]) == (200, "test-001", "injected")
        assert fault.keys() >= SAID
        status, listed = curl(LIST, url, token)
        assert (status, [one["id"] for one in listed["faults"]]) == (200, ["test-001"])

    def test_the_usage_example(self, gateway: RunningGateway) -> None:
        async def inject_xid_79(node_name: str, gpu_id: int = 0) -> str | None:
            async with httpx.AsyncClient(headers={"Authorization": f"Bearer {TOKEN}"}) as client:
                response = await client.post(
                    f"{gateway.url}/api/v1/faults/gpu/inject/xid-79",
                    json={"node_name": node_name, "gpu_id": gpu_id},
                    timeout=30,
                )
            return response.json()["fault_id"] if response.status_code == 200 else None

        fault = anyio.run(inject_xid_79, with_a_workload(gateway), backend="asyncio")
        assert fault is not None
        assert gateway.client.delete(f"{API}/{fault}").status_code == 200


class GPUFaultHelper:
    """The testing guide's helper, by the calls that it makes; the token is all that is added."""

    def __init__(self, api_url: str) -> None:
        self.client = httpx.Client(base_url=api_url, timeout=60, headers={"Authorization": f"Bearer {TOKEN}"})

    def inject(self, xid: int, node_name: str, gpu_id: int = 0, duration: int | None = None) -> Any:
        payload = {"node_name": node_name, "xid_type": xid, "gpu_id": gpu_id, "duration": duration}
        response = self.client.post(f"/api/v1/faults/gpu/inject/xid-{xid}", json=payload)
        response.raise_for_status()
        return response.json()

    def recover_fault(self, fault_id: str) -> Any:
        response = self.client.post(f"/api/v1/faults/{fault_id}/recover")
        response.raise_for_status()
        return response.json()

    def list_xid_types(self) -> Any:
        return self.client.get("/api/v1/faults/gpu/xid-types").raise_for_status().json()

    @contextmanager
    def xid(self, xid: int, node_name: str, gpu_id: int = 0, duration: int | None = None) -> Iterator[Any]:
        fault = self.inject(xid, node_name, gpu_id, duration)
        try:
            yield fault
        finally:
            self.recover_fault(fault["fault_id"])


@pytest.fixture
def helper(gateway: RunningGateway) -> Iterator[GPUFaultHelper]:
    found = GPUFaultHelper(gateway.url)
    yield found
    found.client.close()


class TestTestingGuide:
    """GPU Fault Injection Testing Guide: "Three Testing Patterns", "API Reference"."""

    @pytest.mark.parametrize("xid", XIDS)
    def test_each_context_manager_recovers_its_fault(
        self, gateway: RunningGateway, helper: GPUFaultHelper, xid: int
    ) -> None:
        with helper.xid(xid, with_a_workload(gateway)) as fault:
            assert fault.keys() >= SAID
            assert fault["fault_type"] == f"gpu_xid_{xid}"
            assert gateway.get(fault["fault_id"])["status"] == "injected"
        assert gateway.get(fault["fault_id"])["status"] == "recovered"

    def test_a_fault_expires_after_its_duration(
        self, gateway: RunningGateway, helper: GPUFaultHelper
    ) -> None:
        fault = helper.inject(94, with_a_workload(gateway), duration=1)
        assert gateway.until(fault["fault_id"], "status", "recovered")["recovered_at"]

    def test_the_xid_types(self, helper: GPUFaultHelper) -> None:
        types = {one["code"]: one for one in helper.list_xid_types()["xid_types"]}
        assert types.keys() >= set(XIDS)
        assert (types[79]["severity"], types[94]["severity"]) == ("critical", "low")
        assert all(one.keys() == {"code", "name", "severity", "description"} for one in types.values())


class TestUserGuide:
    """User Guide: `client.inject_xid_error`, `client.delete_fault`, for each XID it names."""

    @pytest.mark.parametrize("xid", [79, 48, 94, 95, 43, 74])
    def test_inject_and_delete(self, gateway: RunningGateway, helper: GPUFaultHelper, xid: int) -> None:
        fault = helper.inject(xid, with_a_workload(gateway))
        deleted = helper.client.delete(f"/api/v1/faults/{fault['fault_id']}")
        assert (deleted.status_code, deleted.json()["status"]) == (200, "recovered")


class TestHardwareGuides:
    """Hardware Fault Tolerance Testing: HWFaultManager asks for health, injects, and deletes at its cleanup."""

    def test_the_life_of_a_managed_fault(self, gateway: RunningGateway, helper: GPUFaultHelper) -> None:
        health = helper.client.get("/health", timeout=5).json()
        assert (health["status"], health["service"]) == ("healthy", "fault-injection-api")
        fault_id = helper.inject(79, with_a_workload(gateway))["fault_id"]
        assert helper.client.delete(f"/api/v1/faults/{fault_id}", timeout=60).status_code == 200


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path / "n")


@pytest.fixture
def agents(node: Node) -> Iterator[Agents]:
    found = Agents(node)
    yield found
    found.stop_all()
