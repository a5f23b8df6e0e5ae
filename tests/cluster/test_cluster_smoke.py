"""The cluster does what the tests of offbus need from it."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.kits.cluster import api
from tests.kits.cluster.client import Cluster, python_pod
from tests.kits.cluster.control_plane import start_program
from tests.kits.cluster.lifecycle import programs, wait_nodes
from tests.kits.cluster.network import cut, reconnect
from tests.kits.cluster.node import boot, lose_power
from tests.kits.cluster.plan import NODES, node_named
from tests.kits.cluster.processes import end_role

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]  # the first one may have to build the cluster
SERVE = """
import http.server, os
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(os.environ["NODE"].encode())
    def log_message(self, *_): pass
http.server.HTTPServer(("", 8000), Page).serve_forever()
"""
NODE_NAME = {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}
SEE_GPUS = """
import ctypes, os
cuda, count = ctypes.CDLL("libcuda.so.1"), ctypes.c_int()
assert cuda.cuInit(0) == 0 and cuda.cuDeviceGetCount(ctypes.byref(count)) == 0
print(count.value, os.environ["NVIDIA_VISIBLE_DEVICES"])
"""
ASK = """
import os, urllib.request
print(urllib.request.urlopen("http://" + os.environ["WEB_SERVICE_HOST"], timeout=60).read().decode())
"""
WRITE_KERNEL_LOG = """
import os, time
fd = os.open("/dev/kmsg", os.O_WRONLY)
os.write(fd, f"<6>offbus-smoke MARK from {os.environ['NODE']}\\n".encode())
os.close(fd)
print("written", flush=True)
time.sleep(86400)
"""


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace of the test's own."""
    name = f"smoke-{uuid.uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", name)
    cluster.wait("serviceaccount/default", "create", "-n", name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


def workload(kind: str, namespace: str, name: str, spec: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A workload of one kind of pod."""
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": spec}
    meta = {"name": name, "namespace": namespace}
    whole = {"selector": {"matchLabels": labels}, "template": template, **more}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": meta, "spec": whole}


def server(**more: Any) -> dict[str, Any]:
    """A pod that answers with its node's name, one a node, and goes soon from a node that does not answer."""
    probe = {"httpGet": {"path": "/", "port": 8000}, "periodSeconds": 1}
    lost = [{"key": f"node.kubernetes.io/{why}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 3}
            for why in ("not-ready", "unreachable")]  # fmt: skip
    spread = {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway",
              "labelSelector": {"matchLabels": {"app": "web"}}}  # fmt: skip
    container = {"env": [NODE_NAME], "readinessProbe": probe, "ports": [{"containerPort": 8000}]}
    return python_pod(
        SERVE, container=container, tolerations=lost, topologySpreadConstraints=[spread], **more
    )


def test_three_nodes_are_ready_with_gpus_of_their_own(cluster: Cluster) -> None:
    nodes = cluster.get("nodes")["items"]
    assert [node["metadata"]["name"] for node in nodes] == [node.name for node in NODES]
    assert {node["status"]["allocatable"]["nvidia.com/gpu"] for node in nodes} == {"4"}
    assert {node["spec"]["providerID"] for node in nodes} == {f"offbus://{node.name}" for node in NODES}
    addresses = [gpu.pci for node in NODES for gpu in node.gpus]
    assert len(set(addresses)) == len(addresses)
    for node in NODES:
        metadata = json.loads(cluster.inside(node, "cat", "/var/lib/nvsentinel/gpu_metadata.json"))
        assert [gpu["pci_address"] for gpu in metadata["gpus"]] == [gpu.pci for gpu in node.gpus]
        assert {gpu.pci.partition(":")[0] for gpu in node.gpus} == {f"{node.number:04x}"}


def test_admission_by_policy_is_on(cluster: Cluster) -> None:
    metrics = cluster.kubectl("get", "--raw", "/metrics")
    assert 'kubernetes_feature_enabled{name="MutatingAdmissionPolicy",stage="BETA"} 1' in metrics
    assert cluster.kubectl("api-resources", "--api-group=admissionregistration.k8s.io", "-o", "name").count(
        "mutatingadmissionpolic"
    )


def test_a_pod_gets_exactly_its_gpus(cluster: Cluster, namespace: str) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "gpus", "namespace": namespace}}
    cluster.apply({**pod, "spec": python_pod(SEE_GPUS, gpus=2, restartPolicy="Never")})
    cluster.wait("pod/gpus", "jsonpath={.status.phase}=Succeeded", "-n", namespace)
    count, visible = cluster.kubectl("logs", "gpus", "-n", namespace).split()
    node = node_named(cluster.get("pod", "gpus", "-n", namespace)["spec"]["nodeName"])
    assert count == "2"
    assert len(set(visible.split(","))) == 2
    assert set(visible.split(",")) <= {gpu.uuid for gpu in node.gpus}


def test_a_pods_gpus_are_written_on_it(cluster: Cluster, namespace: str) -> None:
    """As NVSentinel's metadata collector does it: how a drill knows which GPUs a pod holds."""
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "holds", "namespace": namespace}}
    cluster.apply({**pod, "spec": python_pod("import time; time.sleep(86400)", gpus=1)})
    path = r"jsonpath={.metadata.annotations.dgxc\.nvidia\.com/devices}"
    cluster.wait("pod/holds", path, "-n", namespace)
    held = cluster.get("pod", "holds", "-n", namespace)
    written = json.loads(held["metadata"]["annotations"]["dgxc.nvidia.com/devices"])
    [uuid_] = written["devices"]["nvidia.com/gpu"]
    assert uuid_ in {gpu.uuid for gpu in node_named(held["spec"]["nodeName"]).gpus}


def test_a_deployment_spreads_and_its_pods_answer_through_the_api_server(
    cluster: Cluster, namespace: str
) -> None:
    cluster.apply(workload("Deployment", namespace, "web", server(), replicas=3))
    cluster.wait("deployment/web", "jsonpath={.status.readyReplicas}=3", "-n", namespace)
    answers = {}
    for pod in cluster.get("pods", "-n", namespace, "-l", "app=web")["items"]:
        path = f"/api/v1/namespaces/{namespace}/pods/{pod['metadata']['name']}:8000/proxy/"
        answers[pod["spec"]["nodeName"]] = cluster.kubectl("get", "--raw", path)
    assert answers == {node.name: node.name for node in NODES}


def test_services_answer_in_pods_and_through_the_api_server(cluster: Cluster, namespace: str) -> None:
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": namespace}}
    spec = {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8000}]}
    cluster.apply({**service, "spec": spec}, workload("Deployment", namespace, "web", server(), replicas=1))
    cluster.wait("deployment/web", "jsonpath={.status.readyReplicas}=1", "-n", namespace)
    names = {node.name for node in NODES}
    assert cluster.kubectl("get", "--raw", f"/api/v1/namespaces/{namespace}/services/web:80/proxy/") in names
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "asks", "namespace": namespace}}
    cluster.apply({**pod, "spec": python_pod(ASK, restartPolicy="OnFailure")})
    cluster.wait("pod/asks", "jsonpath={.status.phase}=Succeeded", "-n", namespace)
    assert cluster.kubectl("logs", "asks", "-n", namespace).strip() in names


def test_every_nodes_journal_hears_the_kernel_log(cluster: Cluster, namespace: str) -> None:
    mark = uuid.uuid4().hex
    container = {
        "env": [NODE_NAME],
        "securityContext": {"privileged": True},
        "volumeMounts": [{"name": "kmsg", "mountPath": "/dev/kmsg"}],
    }
    volumes = [{"name": "kmsg", "hostPath": {"path": "/dev/kmsg", "type": "CharDevice"}}]
    spec = python_pod(
        WRITE_KERNEL_LOG.replace("MARK", mark), container=container, volumes=volumes, hostNetwork=True
    )
    cluster.apply(workload("DaemonSet", namespace, "writer", spec))
    cluster.wait("daemonset/writer", "jsonpath={.status.numberReady}=3", "-n", namespace)
    expected = sorted(f"{mark} from {node.name}" for node in NODES)
    for pod in cluster.get("pods", "-n", namespace, "-l", "app=writer")["items"]:
        assert "written" in cluster.kubectl("logs", pod["metadata"]["name"], "-n", namespace)
    for node in NODES:
        cluster.inside(node, "journalctl", "--sync")
        journal = cluster.inside(node, "journalctl", "-k", "-o", "json", f"--grep={mark}")
        lines = [json.loads(line) for line in journal.splitlines()]
        assert {line["_HOSTNAME"] for line in lines} == {node.name}
        assert sorted(line["MESSAGE"].partition("offbus-smoke ")[2] for line in lines) == expected


def test_a_drained_nodes_pod_moves(cluster: Cluster, namespace: str) -> None:
    cluster.apply(workload("Deployment", namespace, "web", server(), replicas=1))
    cluster.wait("deployment/web", "jsonpath={.status.readyReplicas}=1", "-n", namespace)
    [pod] = cluster.get("pods", "-n", namespace)["items"]
    node = pod["spec"]["nodeName"]
    try:
        cluster.kubectl(
            "drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=90s"
        )
        cluster.wait("deployment/web", "jsonpath={.status.readyReplicas}=1", "-n", namespace)
        places = {
            p["spec"]["nodeName"] for p in cluster.get("pods", "-n", namespace, "-l", "app=web")["items"]
        }
        assert places
        assert node not in places
    finally:
        cluster.kubectl("uncordon", node)


def test_a_node_that_loses_power_is_given_up_and_comes_back(cluster: Cluster, namespace: str) -> None:
    cluster.apply(workload("Deployment", namespace, "web", server(), replicas=1))
    cluster.wait("deployment/web", "jsonpath={.status.readyReplicas}=1", "-n", namespace)
    [pod] = cluster.get("pods", "-n", namespace)["items"]
    node = node_named(pod["spec"]["nodeName"])
    lose_power(cluster.paths, node)
    try:
        cluster.wait(f"node/{node.name}", "condition=Ready=Unknown")
        cluster.wait(
            f"pod/{pod['metadata']['name']}", "jsonpath={.metadata.deletionTimestamp}", "-n", namespace
        )
        cluster.wait("deployment/web", "jsonpath={.status.readyReplicas}=1", "-n", namespace)
    finally:
        boot(cluster.paths, programs(cluster.paths), (node,))
    cluster.wait(f"node/{node.name}", "condition=Ready=True")
    with api.client(cluster.paths) as client:
        wait_nodes(client)
    cluster.wait(f"pod/{pod['metadata']['name']}", "delete", "-n", namespace)


def test_an_api_server_that_is_killed_comes_back_with_everything(cluster: Cluster, namespace: str) -> None:
    end_role(cluster.paths, "kube-apiserver")
    with api.client(cluster.paths) as client:
        assert not api.healthy(client)
        start_program(cluster.paths, programs(cluster.paths), "kube-apiserver")
        api.wait_healthy(client, lambda: None, 100)
        wait_nodes(client)
    assert cluster.get("namespace", namespace)["status"]["phase"] == "Active"


def test_a_node_whose_cable_is_cut_is_given_up_and_heard_again(cluster: Cluster) -> None:
    cut(NODES[2])
    try:
        cluster.wait(f"node/{NODES[2].name}", "condition=Ready=Unknown")
    finally:
        reconnect(NODES[2])
    cluster.wait(f"node/{NODES[2].name}", "condition=Ready=True")
    with api.client(cluster.paths) as client:
        wait_nodes(client)
