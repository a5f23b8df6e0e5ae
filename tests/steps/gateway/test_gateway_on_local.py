"""The published API on a real sandbox: a fault is a run, held until it is recovered, deleted, over, or refused."""

import json
import signal
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import httpx
import pytest

from offbus_steps.gateway.record import read_records
from tests.kits.drill.playing import Offbus
from tests.kits.gateway import API, TOKEN, RunningGateway, gateway_on, kept_sandbox, kernel_lines

pytestmark = [pytest.mark.drill, pytest.mark.slow]


@pytest.fixture(scope="module")
def offbus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Offbus]:
    with kept_sandbox(tmp_path_factory.mktemp("gateway")) as found:
        yield found


@pytest.fixture
def gateway(offbus: Offbus) -> Iterator[RunningGateway]:
    with gateway_on(offbus) as found:
        yield found


def config(tmp_path: Path, text: str) -> str:
    path = tmp_path / "gateway.yaml"
    path.write_text(text)
    return str(path)


def busy_node(gateway: RunningGateway) -> str:
    """A node on which the workload runs now."""
    for node in ("node-1", "node-2", "node-3"):
        reply = gateway.client.post(f"{API}/gpu/inject/xid-94", json={"node_name": node, "duration": 1})
        if reply.status_code == 200:
            gateway.client.delete(f"{API}/{reply.json()['fault_id']}")
            return node
    raise AssertionError(reply.text)


def test_a_fault_is_injected_listed_and_deleted_with_nothing_left(
    offbus: Offbus, gateway: RunningGateway
) -> None:
    node = busy_node(gateway)
    fault = gateway.inject(79, node, gpu_id=0)
    assert fault["fault_id"].startswith("gpu_xid_79-")
    assert (fault["status"], fault["fault_type"], fault["target"]) == (
        "injected", "gpu_xid_79", f"{node}/gpu0",
    )  # fmt: skip
    lives = datetime.fromisoformat(fault["expires_at"]) - datetime.fromisoformat(fault["injected_at"])
    assert 599 < lives.total_seconds() < 601
    assert "XID" not in kernel_lines(offbus, node)[-1]
    assert "): 79, " in kernel_lines(offbus, node)[-1]

    listed = gateway.client.get(API, params={"active_only": "true"}).json()
    assert (listed["count"], listed["faults"][0]["id"]) == (1, fault["fault_id"])
    assert gateway.get(fault["fault_id"])["details"]["workload"] == "Deployment/drill-demo/inference"

    deleted = gateway.client.delete(f"{API}/{fault['fault_id']}")
    assert (deleted.status_code, deleted.json()["status"]) == (200, "recovered")
    again = gateway.client.delete(f"{API}/{fault['fault_id']}")
    assert (again.status_code, again.json()) == (200, deleted.json())

    gateway.until(fault["fault_id"], "residue", "none")
    run = fault["fault_id"].rpartition("-")[2]
    report = json.loads(offbus.call("report", run, "--format", "json").stdout)
    assert (report["verdict"], report["residue"]) == ("passed", [])
    assert gateway.client.get(API, params={"active_only": "true"}).json()["count"] == 0


def test_a_fault_ends_when_its_time_is_over(gateway: RunningGateway) -> None:
    fault = gateway.inject(94, busy_node(gateway), duration=1)
    record = gateway.until(fault["fault_id"], "status", "recovered")
    assert record["details"]["message"] == "recovered: its time was over"
    gateway.until(fault["fault_id"], "residue", "none")


def test_a_renewed_fault_lives_longer(gateway: RunningGateway) -> None:
    fault = gateway.inject(94, busy_node(gateway), duration=2)
    renewed = gateway.client.post(f"{API}/{fault['fault_id']}/renew", json={"duration": 300})
    assert renewed.status_code == 200, renewed.text
    assert renewed.json()["expires_at"] > fault["expires_at"]
    too_long = gateway.client.post(f"{API}/{fault['fault_id']}/renew", json={"duration": 601})
    assert (too_long.status_code, too_long.json()["code"]) == (422, "too_long")
    recovered = gateway.client.post(f"{API}/{fault['fault_id']}/recover")
    assert (recovered.status_code, recovered.json()["status"]) == (200, "recovered")
    assert recovered.json()["message"] == "recovered: by a request of token"
    late = gateway.client.post(f"{API}/{fault['fault_id']}/renew", json={})
    assert (late.status_code, late.json()["code"]) == (409, "not_live")


def test_one_at_a_time_and_the_same_key_is_the_same_fault(offbus: Offbus, gateway: RunningGateway) -> None:
    node = busy_node(gateway)
    headers = {"Idempotency-Key": "k-1"}
    body = {"node_name": node, "gpu_id": 0}
    first = gateway.client.post(f"{API}/gpu/inject/xid-94", json=body, headers=headers)
    lines = kernel_lines(offbus, node)
    again = gateway.client.post(f"{API}/gpu/inject/xid-94", json=body, headers=headers)
    assert (again.status_code, again.json()) == (200, first.json())
    other = gateway.client.post(f"{API}/gpu/inject/xid-95", json=body, headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "key_reused")
    refused = gateway.inject(95, node, expect=409)
    assert refused["code"] == "one_at_a_time"
    assert first.json()["fault_id"] in refused["detail"]
    assert kernel_lines(offbus, node) == lines


def test_a_generic_request_for_an_xid_is_served_and_other_faults_are_not_here(
    gateway: RunningGateway,
) -> None:
    generic = {"node_name": busy_node(gateway), "fault_type": "xid_error", "parameters": {"xid_type": 94}}
    reply = gateway.client.post(f"{API}/gpu/inject", json=generic)
    assert (reply.status_code, reply.json()["fault_type"]) == (200, "gpu_xid_94")
    overheat = gateway.client.post(f"{API}/gpu/inject", json={**generic, "fault_type": "overheat"})
    assert (overheat.status_code, "xid-62" in overheat.json()["hint"]) == (501, True)


@pytest.mark.parametrize(
    ("guards", "reason"),
    [
        ("max_cordoned_nodes: 0", "guard max_cordoned_nodes: 1 nodes"),
        ("min_healthy_replicas: 2", "guard min_healthy_replicas: 1 of"),
    ],
)
def test_what_a_guard_refuses_touches_nothing(
    offbus: Offbus, tmp_path: Path, guards: str, reason: str
) -> None:
    with gateway_on(offbus, "--config", config(tmp_path, f"guards: {{{guards}}}")) as gateway:
        node = busy_node(gateway) if "cordon" in guards else "node-1"
        before = {one: kernel_lines(offbus, one) for one in ("node-1", "node-2", "node-3")}
        refusals = [
            gateway.client.post(f"{API}/gpu/inject/xid-79", json={"node_name": one})
            for one in ({node} if "cordon" in guards else before)
        ]
        refused = [one.json() for one in refusals if reason in one.json().get("detail", "")]
        assert refused, [one.text for one in refusals]
        assert (refused[0]["status"], refused[0]["code"]) == (409, "refused")
        assert {one: kernel_lines(offbus, one) for one in before} == before
        status = json.loads(offbus.call("local", "status", "--json").stdout)
        assert [(one["cordoned"], one["faults"]) for one in status["nodes"]] == [(False, [])] * 3
        listed = gateway.client.get(API).json()["faults"][-1]
        assert (listed["status"], listed["details"]["residue"]) == ("failed", "none")


def test_another_tenants_workload_is_no_target(offbus: Offbus, tmp_path: Path) -> None:
    with gateway_on(offbus, "--config", config(tmp_path, 'guards: {namespaces: ["mine-*"]}')) as gateway:
        refused = gateway.inject(79, "node-1", expect=409)
        assert refused["code"] == "no_target"
        assert "mine-*" in refused["detail"]


@pytest.mark.parametrize(
    ("xid", "node", "body", "status", "code", "words"),
    [
        (79, "gpu-node-001", {}, 404, "unknown_node", "nodes here: node-1, node-2, node-3"),
        (79, "node-1", {"gpu_id": 7}, 404, "unknown_gpu", "GPUs there: 0, 1"),
        (790, "node-1", {}, 404, "unknown_xid", "did you mean 79?"),
        (79, "node-1", {"xid_type": 48}, 422, "other_xid", "leave xid_type out"),
        (79, "node-1", {"duration": 601}, 422, "too_long", "renew"),
        (79, "node-1", {"druation": 5}, 422, "invalid_body", "druation"),
        (79, "Node_1", {}, 422, "invalid_body", "node_name"),
    ],
)
def test_a_request_that_makes_no_sense_says_why(
    gateway: RunningGateway, xid: int, node: str, body: dict, status: int, code: str, words: str
) -> None:
    refused = gateway.inject(xid, node, expect=status, **body)
    assert refused["code"] == code
    assert words in refused["detail"] + refused["hint"]


def test_nodes_and_rates_are_limited(offbus: Offbus, tmp_path: Path) -> None:
    limits = 'nodes: ["node-2"]\nburst: 1\nper_minute: 1\n'
    with gateway_on(offbus, "--config", config(tmp_path, limits)) as gateway:
        assert gateway.inject(79, "node-1", expect=403)["code"] == "node_not_allowed"
        gateway.client.post(f"{API}/gpu/inject/xid-94", json={"node_name": "node-2", "duration": 1})
        limited = gateway.client.post(f"{API}/gpu/inject/xid-94", json={"node_name": "node-2"})
        assert (limited.status_code, limited.json()["code"]) == (429, "rate_limited")
        assert int(limited.headers["retry-after"]) > 0


def test_who_may_call(offbus: Offbus) -> None:
    with gateway_on(offbus) as gateway:
        for headers in ({"Authorization": ""}, {"Authorization": "Bearer guessed"}):
            for method, path in (("GET", API), ("POST", f"{API}/gpu/inject/xid-79"), ("DELETE", f"{API}/x")):
                reply = gateway.client.request(method, path, headers=headers)
                assert (reply.status_code, reply.json()["code"]) == (401, "unauthorized")
        assert gateway.client.get("/health", headers={"Authorization": ""}).json()["tokenless"] is False
        other = {"Authorization": "", "X-Offbus-Token": TOKEN}
        assert gateway.client.get(API, headers=other).status_code == 200
        (offbus.home / "token").write_text("the-next-one\n")
        assert gateway.client.get(API).status_code == 401
        code, stderr = gateway.stop()
    assert (code, "WARNING" in stderr, TOKEN in stderr) == (0, False, False)


def test_a_trusted_network_is_asked_for_and_said_loudly(offbus: Offbus) -> None:
    with gateway_on(offbus, "--allow-tokenless") as gateway:
        assert httpx.get(gateway.url + API).status_code == 200
        wrong = httpx.get(gateway.url + API, headers={"Authorization": "Bearer guessed"})
        assert wrong.status_code == 401
        assert httpx.get(gateway.url + "/health").json()["tokenless"] is True
        _, stderr = gateway.stop()
    assert f"WARNING: --allow-tokenless: everybody who reaches {gateway.url} can inject faults" in stderr


@pytest.mark.parametrize(
    "headers", [{"Host": "evil.example"}, {"Host": "localhost"}, {"Origin": "http://evil.example"}]
)
def test_a_web_page_cannot_call_a_gateway_of_this_machine(
    gateway: RunningGateway, headers: dict[str, str]
) -> None:
    for path in ("/health", API):
        reply = gateway.client.get(path, headers=headers)
        assert (reply.status_code, reply.json()["code"]) == (403, "not_local")
    own = {"Origin": gateway.url, "Host": gateway.url.removeprefix("http://")}
    assert gateway.client.get(API, headers=own).status_code == 200


def test_every_write_is_in_the_audit_log(gateway: RunningGateway) -> None:
    before = len(gateway.audited()) if gateway.audit.exists() else 0
    gateway.client.post(f"{API}/gpu/inject/xid-79", headers={"Authorization": "Bearer guessed"})
    gateway.inject(79, "nowhere", expect=404)
    gateway.client.get(API)
    stranger, refused = gateway.audited()[before:]
    assert (stranger["status"], stranger["code"], "caller" in stranger) == (401, "unauthorized", False)
    assert (refused["status"], refused["caller"], refused["node"], refused["xid"]) == (
        404, "token", "nowhere", 79,
    )  # fmt: skip
    assert refused["peer"] == "127.0.0.1"
    assert datetime.fromisoformat(refused["time"]).utcoffset() is not None


def test_a_gateway_that_is_stopped_undoes_what_is_live(offbus: Offbus) -> None:
    with gateway_on(offbus) as gateway:
        node = busy_node(gateway)
        fault = gateway.inject(79, node)
        gateway.process.send_signal(signal.SIGTERM)
        gateway.until(fault["fault_id"], "status", "recovering")
        assert gateway.inject(94, node, expect=503)["code"] == "stopping"
        assert gateway.stop()[0] == 0
    with gateway_on(offbus) as gateway:
        record = gateway.get(fault["fault_id"])
        assert (record["status"], record["details"]["residue"]) == ("recovered", "none")
        assert record["details"]["message"] == "recovered: the gateway was stopped by SIGTERM"
    assert "nothing to recover" in offbus.call("recover").stdout


def test_what_a_killed_gateway_left_is_undone_by_recover(offbus: Offbus) -> None:
    with gateway_on(offbus) as gateway:
        fault = gateway.inject(79, busy_node(gateway))
        gateway.stop(signal.SIGKILL)
    run = fault["fault_id"].rpartition("-")[2]
    (record,) = [one for one in read_records(offbus.runs) if one.id == fault["fault_id"]]
    assert (record.status, record.details["message"]) == (
        "failed", f"its gateway has ended; finish it with: offbus recover {run}",
    )  # fmt: skip
    recovered = offbus.call("recover", run)
    assert recovered.returncode == 0, recovered.stdout + recovered.stderr
    assert "residue: none" in recovered.stdout
    with gateway_on(offbus) as gateway:
        assert gateway.get(fault["fault_id"])["status"] == "recovered"
        assert gateway.client.delete(f"{API}/{fault['fault_id']}").json()["status"] == "recovered"
    status = json.loads(offbus.call("local", "status", "--json").stdout)
    assert [(one["cordoned"], one["faults"]) for one in status["nodes"]] == [(False, [])] * 3


def test_what_a_killed_gateway_left_is_undone_by_the_next_one(offbus: Offbus) -> None:
    with gateway_on(offbus) as gateway:
        fault = gateway.inject(79, busy_node(gateway))
        gateway.stop(signal.SIGKILL)
    with gateway_on(offbus) as gateway:
        assert gateway.get(fault["fault_id"])["status"] == "recovered"
        gateway.inject(94, busy_node(gateway))
        _, stderr = gateway.stop()
    assert "recovered run" in stderr
    status = json.loads(offbus.call("local", "status", "--json").stdout)
    assert [(one["cordoned"], one["faults"]) for one in status["nodes"]] == [(False, [])] * 3


def test_folders_of_finished_faults_are_bounded(offbus: Offbus, tmp_path: Path) -> None:
    with gateway_on(offbus, "--config", config(tmp_path, "keep: 2")) as gateway:
        node = busy_node(gateway)
        for _ in range(3):
            fault = gateway.inject(94, node)["fault_id"]
            gateway.client.delete(f"{API}/{fault}")
        gateway.until(fault, "residue", "none")
        gateway.inject(94, node)  # the folder of the last one is finished by now
        kept = [one for one in offbus.runs.iterdir() if (one / "fault.json").exists()]
        assert len([one for one in kept if not (one / "unfinished").exists()]) <= 2
