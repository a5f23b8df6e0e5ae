"""deploy/gateway on the real cluster: a refused curl touches nothing; an allowed one is undone, whoever has to do it.

Called as a client of the published API calls it: curl, the Service's address, the token of a service account that may
no more than inject. The gateway runs as it is deployed, with its own rights and shipped guards, and is kept off the
target's nodes: a drain would take it along, which its guards refuse. The responder cordons and drains, and its janitor
pretends to reboot, so that `real_remediation: forbid` lets the fault pass.
"""

import json
import os
import select
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.kits.cluster.client import Cluster, python_pod
from tests.kits.cluster.plan import NODES
from tests.kits.cluster.processes import process_in
from tests.kits.gateway import API
from tests.kits.kubernetes.installing import ClusterPaths, configure_responder, install, uninstall
from tests.kits.kubernetes.torture_bench import NAMESPACE, SYSTEM, Bench

pytestmark = [pytest.mark.cluster, pytest.mark.long, pytest.mark.timeout(900)]

ITS_NODE = NODES[-1]
GATEWAY = f"deployment/offbus-gateway -n {SYSTEM}".split()
PODS = f"pods -n {SYSTEM} -l app.kubernetes.io/name=offbus-gateway".split()
TENANT = "another-tenant"
CALLER = "caller"
CORDONED = "jsonpath={.spec.unschedulable}=true"
WATCHDOG_S = 60


@dataclass(frozen=True)
class Gateway:
    """The deployed one, and a target for its faults."""

    bench: Bench
    address: str
    token: str = field(repr=False)

    @property
    def cluster(self) -> Cluster:
        return self.bench.cluster

    @property
    def targets_node(self) -> str:
        """Where the target's pod runs now."""
        [pod] = self.cluster.get("pods", "-n", NAMESPACE, "--field-selector=status.phase=Running")["items"]
        return str(pod["spec"]["nodeName"])

    def curl(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """Status and answer of a call that is made on a node."""
        words = ["curl", "-sS", "--max-time", "90", "-X", method, f"http://{self.address}:8080{API}{path}"]
        words += ["-H", f"Authorization: Bearer {self.token}", "-w", "\n%{http_code}"]
        if body is not None:
            words += ["-H", "Content-Type: application/json", "-d", json.dumps(body)]
        answer, _, status = self.cluster.inside(ITS_NODE, *words).rpartition("\n")
        return int(status), json.loads(answer)

    def injected(self, **more: Any) -> str:
        """Ask for XID 79 on the target's node, and wait until the platform has acted; the fault's id."""
        node = self.targets_node
        status, answer = self.curl("POST", "/gpu/inject/xid-79", {"node_name": node, "gpu_id": 0, **more})
        assert (status, answer["status"]) == (200, "injected"), answer
        assert self.bench.faulted() == [node]
        self.cluster.wait(f"node/{node}", CORDONED)
        return str(answer["fault_id"])

    def record(self, fault: str) -> dict[str, Any]:
        """What it says of a fault."""
        status, answer = self.curl("GET", f"/{fault}")
        assert status == 200, answer
        return answer

    def touched(self) -> dict[str, Any]:
        """All that a refusal may not touch: nodes, pods of everybody, agents' faults, records, kernel lines."""
        pods = self.cluster.get("pods", "-A")["items"]
        records = self.cluster.get("leases,configmaps", "-n", SYSTEM)["items"]
        return {
            **self.bench.picture(),
            "everybody's pods": sorted(json.dumps([_named(one), one["spec"]]) for one in pods),
            "nodes' writers": [
                _named(one) for one in self.cluster.get("nodes", "--show-managed-fields")["items"]
            ],
            "records": sorted(json.dumps([_named(one), one.get("data"), one.get("spec")]) for one in records),
            "kernel": self._kernel_lines(),
        }

    def _kernel_lines(self) -> list[str]:
        found = []
        for node in NODES:
            self.cluster.inside(node, "journalctl", "--sync")
            lines = self.cluster.inside(node, "journalctl", "-k", "-o", "cat").splitlines()
            found += [one for one in lines if f"Xid (PCI:{node.number:04x}:" in one]
        return found


def _named(obj: dict[str, Any]) -> dict[str, Any]:
    """Which one it is, what is attached to it, and who ever wrote it."""
    meta = obj["metadata"]
    found = {key: meta.get(key) for key in ("namespace", "name", "uid", "labels", "annotations")}
    return found | {"by": sorted({one["manager"] for one in meta.get("managedFields") or ()})}


@pytest.fixture(scope="module")
def bench(
    cluster: Cluster, drill_paths: ClusterPaths, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Bench]:
    """A target that keeps off the gateway's node."""
    bench = Bench(cluster, tmp_path_factory.mktemp("gateway"))
    bench.build()
    host = {"key": "kubernetes.io/hostname", "operator": "NotIn", "values": [ITS_NODE.name]}
    required = {"nodeSelectorTerms": [{"matchExpressions": [host]}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
    spec = {"template": {"spec": {"affinity": affinity}}}
    cluster.kubectl("patch", "deployment", "llm", "-n", NAMESPACE, "-p", json.dumps({"spec": spec}))
    cluster.kubectl("rollout", "status", "deployment/llm", "-n", NAMESPACE, "--timeout=90s")
    yield bench
    bench.remove()


@pytest.fixture(scope="module")
def allowed(bench: Bench) -> Iterator[str]:
    """What docs/gateway.md has a user bind, and a caller who may inject; the caller's token."""
    kubectl, account = bench.cluster.kubectl, f"{SYSTEM}:offbus-gateway"
    role, words = "--clusterrole=offbus-runner-drill", f"--serviceaccount={account}"
    kubectl("create", "rolebinding", "offbus-gateway-drill", "-n", NAMESPACE, role, words)
    kubectl("create", "serviceaccount", CALLER, "-n", NAMESPACE)
    caller = f"--serviceaccount={NAMESPACE}:{CALLER}"
    kubectl("create", "clusterrolebinding", "ci-faults", "--clusterrole=offbus-faults", caller)
    yield kubectl("create", "token", CALLER, "-n", NAMESPACE).strip()
    kubectl("delete", "clusterrolebinding", "ci-faults")


@pytest.fixture
def gateway(bench: Bench, allowed: str, drill_paths: ClusterPaths) -> Iterator[Gateway]:
    """deploy/gateway as it is, but for its node; nothing has the cluster when it comes."""
    install(drill_paths, "gateway")
    bench.cluster.kubectl("patch", *GATEWAY, "-p", json.dumps(_on_node(ITS_NODE.name)))
    bench.cluster.kubectl("rollout", "status", *GATEWAY, "--timeout=90s")
    service = bench.cluster.get("service", "fault-injection-api", "-n", SYSTEM)
    yield Gateway(bench, str(service["spec"]["clusterIP"]), allowed)
    bench.cluster.kubectl("delete", *GATEWAY, "--ignore-not-found")
    bench.cluster.kubectl("wait", *PODS, "--for=delete", f"--timeout={WATCHDOG_S}s")  # it undoes what is live
    uninstall(drill_paths, "gateway")
    bench.finished()


def _on_node(name: str) -> dict[str, Any]:
    return {"spec": {"template": {"spec": {"nodeSelector": {"kubernetes.io/hostname": name}}}}}


def reboot_by_somebody(gateway: Gateway, undo: ExitStack) -> str:
    """The responder leaves reboots to others, and they may be real."""
    configure_responder(gateway.cluster.paths, {"janitor": "manual"})
    undo.callback(configure_responder, gateway.cluster.paths, {})
    return f"guard real_remediation: RESTART_BM for {gateway.targets_node}"


def pod_of_a_stranger(gateway: Gateway, undo: ExitStack) -> str:
    """Somebody else's pod beside the target."""
    cluster, node = gateway.cluster, gateway.targets_node
    cluster.kubectl("create", "namespace", TENANT)
    undo.callback(cluster.kubectl, "delete", "namespace", TENANT, "--timeout=90s")
    spec = python_pod("import signal; signal.pause()", nodeName=node, automountServiceAccountToken=False)
    meta = {"name": "theirs", "namespace": TENANT}
    cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})
    cluster.wait("pod/theirs", "condition=Ready", "-n", TENANT)
    return f"guard namespaces: {node} also runs {TENANT}/theirs"


def node_cordoned_by_somebody(gateway: Gateway, undo: ExitStack) -> str:
    """One node more would be too many."""
    gateway.cluster.kubectl("cordon", ITS_NODE.name)
    undo.callback(gateway.cluster.kubectl, "uncordon", ITS_NODE.name)
    return "guard max_cordoned_nodes: 2 nodes"


@pytest.mark.parametrize("reason", [reboot_by_somebody, pod_of_a_stranger, node_cordoned_by_somebody])
def test_a_curl_that_a_guard_refuses_touches_nothing(
    gateway: Gateway, reason: Callable[[Gateway, ExitStack], str]
) -> None:
    node = gateway.targets_node
    with ExitStack() as undo:
        why = reason(gateway, undo)
        before = gateway.touched()
        status, answer = gateway.curl("POST", "/gpu/inject/xid-79", {"node_name": node, "gpu_id": 0})
        assert (status, answer["code"]) == (409, "refused"), answer
        assert answer["detail"].startswith(why)
        after = gateway.touched()
        assert {key: after[key] for key in after if after[key] != before[key]} == {}
    _, listed = gateway.curl("GET", "")
    assert [one["status"] for one in listed["faults"]] == ["failed"]


def test_delete_undoes_the_fault_and_what_the_platform_did(gateway: Gateway) -> None:
    before = gateway.bench.picture()
    fault = gateway.injected()
    status, answer = gateway.curl("DELETE", f"/{fault}")
    assert (status, answer["status"]) in ((200, "recovered"), (202, "recovering")), answer
    gateway.bench.finished()
    assert gateway.bench.settled(before) == []
    record = gateway.record(fault)
    assert (record["status"], record["details"]["residue"]) == ("recovered", "none")


def test_expiry_undoes_it_unasked(gateway: Gateway) -> None:
    before = gateway.bench.picture()
    fault = gateway.injected(duration=20)
    gateway.bench.finished()
    assert gateway.bench.settled(before) == []
    record = gateway.record(fault)
    assert (record["status"], record["details"]["residue"]) == ("recovered", "none")
    assert record["details"]["message"] == "recovered: its time was over"


def test_the_reaper_undoes_it_after_the_gateway_was_killed_for_good(gateway: Gateway) -> None:
    bench = gateway.bench
    before, known = bench.picture(), set(bench.reports())
    gateway.injected()
    killed_for_good(gateway.cluster)
    bench.finished()
    assert bench.settled(before) == []
    [summary] = [text for run, text in bench.reports().items() if run not in known]
    assert summary.endswith("residue: none"), summary


def killed_for_good(cluster: Cluster) -> None:
    """It cannot act any more, nobody starts it again, and the kubelet kills it; returns when it is gone."""
    [pod] = cluster.get(*PODS)["items"]
    gone = os.pidfd_open(process_in(pod, "gateway"))
    try:
        signal.pidfd_send_signal(gone, signal.SIGSTOP)
        cluster.kubectl("delete", *GATEWAY, "--cascade=orphan")
        cluster.kubectl("delete", "replicasets", *PODS[1:], "--cascade=orphan")
        cluster.kubectl("delete", *PODS, "--force", "--grace-period=0")
        readable, _, _ = select.select([gone], [], [], WATCHDOG_S)
        assert readable, "the kubelet did not kill it"
    finally:
        os.close(gone)
