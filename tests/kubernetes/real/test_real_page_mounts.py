"""What a root process of a prepared pod can do to its node's agent and to other pods: nothing."""

import json
from pathlib import Path
from typing import Any

import anyio
import pytest

from offbus_steps.kubernetes.port import KubernetesPort
from offbus_steps.port import Ref
from offbus_steps.testing.conformance.waiting import until
from offbus_steps.workloads.shim_pod import Loading
from tests.kits import REPOSITORY
from tests.kits.cluster.own_images import PYTHON_IMAGE, python_mounts
from tests.kits.kubernetes.installing import ClusterPaths

pytestmark = pytest.mark.anyio

HOSTILE = (REPOSITORY / "tests/kits/kubernetes/hostile_pod.py").read_text(encoding="utf-8")
OWNER = {"run": "hostile", "epoch": 1}


def hostile_pod(namespace: str) -> dict[str, Any]:
    volumes, mounts, interpreter = python_mounts()
    container = {
        "name": "main",
        "image": PYTHON_IMAGE,
        "imagePullPolicy": "Never",
        "command": [interpreter, "-u", "-c", HOSTILE],
        "stdin": True,
        "securityContext": {"runAsUser": 0},
        "resources": {"limits": {"nvidia.com/gpu": "1"}},
        "volumeMounts": mounts,
    }
    meta = {"name": "hostile", "namespace": namespace}
    spec = {"containers": [container], "volumes": volumes, "terminationGracePeriodSeconds": 1}
    return Loading().loaded({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})


@pytest.mark.guarantee("G29")
@pytest.mark.timeout(300)
async def test_root_in_a_pod_changes_nothing_but_its_own_reports(
    paths: ClusterPaths, port: KubernetesPort, namespace: str, tmp_path: Path
) -> None:
    made = await port.objects.create(hostile_pod(namespace))
    ref = Ref.of(made)
    running = await until(port, ref, lambda pod: pod.get("status", {}).get("phase") == "Running")
    uid, node = running["metadata"]["uid"], running["spec"]["nodeName"]
    before = (await port.agents.request(node, "GET", "/health")).json()
    fault = {"id": "hostile", "xid": 79, "gpus": [one["uuid"] for one in before["gpus"]], "planes": ["cuda"]}
    armed = await port.agents.request(node, "POST", "/faults", json={**OWNER, **fault, "ttl_s": 120})
    assert armed.status == 201, armed.body
    try:
        with anyio.fail_after(120):
            while not (told := await port.objects.logs(ref)):  # noqa: ASYNC110  a log cannot be watched
                await anyio.sleep(0.2)
        assert json.loads(told) == {
            "truncate the page": "EROFS",
            "write the page": "EROFS",
            "remove the page": "EROFS",
            "write the library": "EROFS",
            "remove the library": "EROFS",
            "create beside the library": "EROFS",
            "remount the page": "EPERM",
            "remount the library": "EPERM",
            "what else is there": [["events", "lib", "page"], ["events"]],
        }
        seen = (await port.agents.request(node, "GET", "/faults/hostile")).json()
        assert seen["state"] == "armed"
        assert {call["pod_uid"] for call in seen["first_faulted"]} == {uid}  # for itself, and for nobody else
    finally:
        ended = await port.agents.request(node, "POST", "/faults/hostile/recover", json=OWNER)
    assert ended.status == 200
    after = (await port.agents.request(node, "GET", "/health")).json()
    assert after["planes"] == before["planes"]
    assert after["armed"] == 0
