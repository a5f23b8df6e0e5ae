"""Real NVIDIA Dynamo on the real cluster: a worker dies under the shim while requests stream.

Frontend and mock engines of Dynamo run in pods from a virtual environment that is mounted into them; they find each
other by files in a folder that all nodes share. The drill's own proof is the shim's: the engine's call failed, and its
process ended of it.
"""

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.kits.cluster.dynamo import dynamo_environment
from tests.kits.cluster.own_images import PYTHON_IMAGE, python_mounts
from tests.kits.drill.playing import Finished, Offbus
from tests.kits.kubernetes.installing import ClusterPaths, kubectl

pytestmark = [pytest.mark.cluster, pytest.mark.dynamo, pytest.mark.timeout(3600)]
HERE = Path(__file__).parent / "dynamo"
LIMIT_S = 1200
NAMESPACE, GRAPH = "drill-dynamo", "mock-agg"
MIGRATED = re.compile(
    r"^dynamo_frontend_model_migration_duration_seconds_count\{(?P<labels>[^}]*)\} (?P<count>[0-9.e+]+)$",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Dynamo:
    """What a pod of Dynamo needs."""

    environment: Path
    shared: Path
    """On all nodes: the model, and the workers' announcements."""

    @property
    def model(self) -> Path:
        return self.shared / "model"

    def graph(self) -> dict[str, Any]:
        """The graph: a frontend, and two workers on nodes of their own."""
        frontend = self.service(
            "frontend", "-m", "dynamo.frontend", "--http-port", "8000", "--migration-limit", "3"
        )
        worker = self.service(
            "worker", str(HERE / "engine.py"), "--model-path", str(self.model), "--speedup-ratio", "1"
        )
        worker |= {"replicas": 2, "resources": {"requests": {"cpu": "500m"}, "limits": {"gpu": "1"}}}
        worker["extraPodSpec"]["topologySpreadConstraints"] = [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": {"nvidia.com/dynamo-component": "worker"}},
            }
        ]
        return {
            "apiVersion": "nvidia.com/v1alpha1",
            "kind": "DynamoGraphDeployment",
            "metadata": {"name": GRAPH, "namespace": NAMESPACE},
            "spec": {"services": {"Frontend": frontend, "worker": worker}},
        }

    def service(self, kind: str, *program: str) -> dict[str, Any]:
        """One service, run with Dynamo's interpreter."""
        volumes, mounts, python = python_mounts(self.environment)
        volumes.append({"name": "shared", "hostPath": {"path": str(self.shared), "type": "Directory"}})
        mounts.append({"name": "shared", "mountPath": str(self.shared)})
        env = {
            "DYN_DISCOVERY_BACKEND": "file",
            "DYN_FILE_KV": str(self.shared / "announced"),
            "DYN_REQUEST_PLANE": "tcp",
            "HF_HUB_OFFLINE": "1",
            "HOME": "/tmp",
        }
        if kind == "worker":
            env |= {"DYN_SYSTEM_PORT": "9090", "DYN_SYSTEM_USE_ENDPOINT_HEALTH_STATUS": '["generate"]'}
        container = {
            "image": PYTHON_IMAGE,
            "imagePullPolicy": "Never",
            "command": [python, *program],
            "env": [{"name": name, "value": value} for name, value in env.items()],
            "volumeMounts": mounts,
        }
        port = 8000 if kind == "frontend" else 9090
        return {
            "componentType": kind,
            "replicas": 1,
            "resources": {"requests": {"cpu": "500m"}},
            "readinessProbe": {
                "httpGet": {"path": "/health", "port": port},
                "periodSeconds": 1,
                "timeoutSeconds": 5,
            },
            "extraPodSpec": {
                "mainContainer": container,
                "volumes": volumes,
                "terminationGracePeriodSeconds": 10,
            },
        }


@pytest.fixture(scope="module")
def dynamo(drill_paths: ClusterPaths) -> Iterator[Dynamo]:
    """A graph of real Dynamo that is ready."""
    environment, shared = dynamo_environment(), drill_paths.root / "dynamo"
    made = Dynamo(environment, shared)
    (shared / "announced").mkdir(parents=True, exist_ok=True)
    subprocess.run([environment / "bin/python", HERE / "model.py", made.model], check=True, timeout=LIMIT_S)
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    kubectl(drill_paths, "apply", "-f", "-", given=json.dumps(namespace))
    kubectl(drill_paths, "apply", "-f", "-", given=json.dumps(made.graph()))
    kubectl(
        drill_paths,
        "wait",
        f"dynamographdeployment/{GRAPH}",
        "-n",
        NAMESPACE,
        "--for=condition=Ready",
        "--timeout=110s",
    )
    yield made
    kubectl(drill_paths, "delete", "namespace", NAMESPACE, "--timeout=110s")


@pytest.fixture(scope="module")
def finished(dynamo: Dynamo, drill_paths: ClusterPaths, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The drill."""
    command = Offbus(tmp_path_factory.mktemp("dynamo"), LIMIT_S)
    return command.run(HERE / "drill.yaml", "--env-set", f"kubeconfig={drill_paths.kubeconfig}")


def test_the_worker_died_of_the_fault_and_came_back(finished: Finished) -> None:
    assert finished.code == 0, finished.output
    [fault] = finished.report["faults"]
    call = fault["planes"]["cuda"]["evidence"]
    assert call["code_name"] == "CUDA_ERROR_CONTAINED"
    [victim] = finished.step("inject")["outputs"]["fault"]["holders"].values()
    assert call["pod"] == victim
    assert finished.first("pod", f"{victim} ended with 1")
    assert finished.report["residue"] == []


def test_its_streams_were_migrated_or_counted_as_failed(
    finished: Finished, drill_paths: ClusterPaths
) -> None:
    path = f"/api/v1/namespaces/{NAMESPACE}/services/{GRAPH}-frontend:8000/proxy/metrics"
    counted = [
        (one["labels"], float(one["count"]))
        for one in MIGRATED.finditer(kubectl(drill_paths, "get", "--raw", path))
    ]
    migrated = sum(count for labels, count in counted if 'outcome="success"' in labels)
    lost = sum(count for labels, count in counted if 'outcome="failure"' in labels)
    load = finished.step("load")["outputs"]
    assert load["sent"] > 0
    assert migrated + load["failed"] > 0, "no stream was on its way to the worker that died"
    assert load["failed"] >= lost, "Dynamo lost streams that the drill took for good answers"
    assert load["success_rate"] == pytest.approx((load["sent"] - load["failed"]) / load["sent"])


def test_dynamos_specification_is_as_it_was(
    finished: Finished, dynamo: Dynamo, drill_paths: ClusterPaths
) -> None:
    found = json.loads(
        kubectl(drill_paths, "get", "dynamographdeployment", GRAPH, "-n", NAMESPACE, "-o", "json")
    )
    assert finished.code == 0
    assert found["spec"] == dynamo.graph()["spec"]
