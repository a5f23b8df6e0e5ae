"""Who has which rights on a node where deploy/ is installed, read from /proc; and the agent without its helper."""

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import anyio
import pytest

from offbus_steps.kubernetes.port import KubernetesPort
from offbus_steps.port import Ref
from offbus_steps.testing.conformance.waiting import until
from offbus_steps.workloads.pods import is_ready
from tests.kits.agent.unprivileged import AGENT, HELPER_CAPABILITIES, WHAT_IT_MAY_WRITE, status_of
from tests.kits.cluster.processes import process_in
from tests.kits.kubernetes.installing import ClusterPaths

pytestmark = pytest.mark.anyio
NAMESPACE = "offbus-system"
ITS_FOLDERS = (
    "/run/offbus/page",
    "/run/offbus/lib",
    "/run/offbus/events",
    "/var/lib/offbus",
    "/run/helper",
)
"""Beside them every container has devices, and what the kubelet and the runtime put in /dev."""
LIMIT_S = 120


async def agent_of(port: KubernetesPort, node: str) -> dict[str, Any]:
    """The agent's pod on a node."""
    return (await port.agents.by_node())[node]


def executable_of(pid: int) -> str:
    """The name of the file that it runs."""
    return Path(f"/proc/{pid}/exe").readlink().name


def writable_by(pid: int) -> set[str]:
    """What a process's user may write, in the files that the process sees."""
    within = ["nsenter", f"--target={pid}", "--mount", f"--setuid={AGENT}", f"--setgid={AGENT}", "--"]
    program = ["/usr/local/bin/python3", "-I", "-S", "-c", WHAT_IT_MAY_WRITE, "/"]
    done = subprocess.run([*within, *program], capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines())


@pytest.mark.guarantee("G33")
@pytest.mark.timeout(300)
async def test_the_server_has_no_capability_no_root_and_no_folder_but_its_own(
    paths: ClusterPaths, port: KubernetesPort, node: str
) -> None:
    pid = process_in(await agent_of(port, node), "serve")
    status = status_of(pid)
    assert (set(status["Uid"].split()), set(status["Gid"].split())) == ({str(AGENT)}, {str(AGENT)})
    assert set(status["Groups"].split()) <= {str(AGENT)}
    assert {kind: status[kind] for kind in status if kind.startswith("Cap")} == dict.fromkeys(
        ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), "0" * 16
    )
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    found = await anyio.to_thread.run_sync(writable_by, pid)
    assert {one for one in found if not one.startswith((*ITS_FOLDERS, "/dev/"))} == set()
    assert set(ITS_FOLDERS) <= found


@pytest.mark.guarantee("G33")
@pytest.mark.timeout(300)
async def test_the_helper_keeps_the_capabilities_that_it_needs_alone(
    paths: ClusterPaths, port: KubernetesPort, node: str
) -> None:
    pid = process_in(await agent_of(port, node), "--uid=60883")
    status = status_of(pid)
    assert executable_of(pid) == "offbus-kmsg-helper"
    assert int(status["CapEff"], 16) & ~HELPER_CAPABILITIES == 0
    assert int(status["CapPrm"], 16) & ~HELPER_CAPABILITIES == 0
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")


@pytest.mark.guarantee("G33")
@pytest.mark.timeout(300)
async def test_an_agent_whose_helper_was_killed_says_so_goes_on_and_finds_the_next(
    paths: ClusterPaths, port: KubernetesPort, node: str
) -> None:
    pod = await agent_of(port, node)
    gpus = [one["uuid"] for one in (await port.agents.request(node, "GET", "/health")).json()["gpus"]]
    fault = {"id": "helper", "run": "helper", "epoch": 1, "xid": 79, "gpus": gpus[:1], "ttl_s": 120}
    armed = await port.agents.request(node, "POST", "/faults", json={**fault, "planes": ["cuda"]})
    assert armed.status == 201, armed.body
    before = status_of(process_in(pod, "serve"))["Pid"]
    os.kill(process_in(pod, "--uid=60883"), signal.SIGKILL)
    owner = {"run": "helper", "epoch": 1}
    ended = await port.agents.request(node, "POST", "/faults/helper/disarm", json=owner)
    assert ended.json()["state"] == "disarmed"
    ref = Ref("Pod", pod["metadata"]["name"], NAMESPACE)
    known = restarts(pod)["kmsg-helper"]
    again = await until(port, ref, lambda one: is_ready(one) and restarts(one)["kmsg-helper"] > known)
    assert restarts(again)["agent"] == restarts(pod)["agent"]
    assert status_of(process_in(again, "serve"))["Pid"] == before
    await port.agents.request(node, "POST", "/faults/helper/recover", json=owner)
    line = await port.agents.request(
        node, "POST", "/faults", json={**fault, "id": "h2", "planes": ["kernel"]}
    )
    assert line.status == 201, line.body
    ended = await port.agents.request(node, "POST", "/faults/h2/recover", json=owner)
    assert len(ended.json()["kernel"]) == 1


def restarts(pod: dict[str, Any]) -> dict[str, int]:
    """How often each container was started again."""
    return {one["name"]: one["restartCount"] for one in pod["status"]["containerStatuses"]}
