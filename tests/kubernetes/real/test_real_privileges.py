"""Who has which rights on a node where deploy/ is installed, read from /proc; and the agent without its helper."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from offbus_steps.kubernetes.port import KubernetesPort
from offbus_steps.port import Ref
from offbus_steps.testing.conformance.waiting import until
from offbus_steps.workloads.pods import is_ready
from tests.kits.agent.unprivileged import AGENT, HELPER_CAPABILITIES, status_of
from tests.kits.cluster.processes import cgroups, in_a_pod
from tests.kits.kubernetes.installing import ClusterPaths

pytestmark = pytest.mark.anyio
NAMESPACE = "offbus-system"
ITS_FOLDERS = {"/run/offbus", "/var/lib/offbus", "/run/helper"}
OF_THE_RUNTIME = ("/dev", "/proc", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf")
"""What every container has: devices, its processes, and files that the kubelet writes for it."""


async def agent_of(port: KubernetesPort, node: str) -> dict[str, Any]:
    """The agent's pod on a node."""
    return (await port.agents.by_node())[node]


def process_of(pod: dict[str, Any], word: str) -> int:
    """The process of a pod whose command has this word."""
    uid = pod["metadata"]["uid"]
    [found] = [
        one.id.pid
        for one in in_a_pod()
        if f"pod{uid}" in cgroups(one.id.pid)
        and word in Path(f"/proc/{one.id.pid}/cmdline").read_text().split("\0")
    ]
    return found


def executable_of(pid: int) -> str:
    """The name of the file that it runs."""
    return Path(f"/proc/{pid}/exe").readlink().name


def writable_mounts(pid: int) -> set[str]:
    """Where a process has file systems that are not read-only (proc(5), mountinfo)."""
    mounts = [line.split(" - ") for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines()]
    found = [(one.split(), end.split()) for one, end in mounts]
    return {
        mount[4] for mount, system in found if "rw" in mount[5].split(",") and "rw" in system[2].split(",")
    }


@pytest.mark.guarantee("G33")
@pytest.mark.timeout(300)
async def test_the_server_has_no_capability_no_root_and_no_folder_but_its_own(
    paths: ClusterPaths, port: KubernetesPort, node: str
) -> None:
    pid = process_of(await agent_of(port, node), "serve")
    status = status_of(pid)
    assert (set(status["Uid"].split()), set(status["Gid"].split())) == ({str(AGENT)}, {str(AGENT)})
    assert set(status["Groups"].split()) <= {str(AGENT)}
    assert {kind: status[kind] for kind in status if kind.startswith("Cap")} == dict.fromkeys(
        ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), "0" * 16
    )
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    strange = {one for one in writable_mounts(pid) if not one.startswith(OF_THE_RUNTIME)} - ITS_FOLDERS
    assert strange == set()


@pytest.mark.guarantee("G33")
@pytest.mark.timeout(300)
async def test_the_helper_keeps_the_capabilities_that_it_needs_alone(
    paths: ClusterPaths, port: KubernetesPort, node: str
) -> None:
    pid = process_of(await agent_of(port, node), "--uid=60883")
    status = status_of(pid)
    assert executable_of(pid) == "offbus-kmsg-helper"
    assert int(status["CapEff"], 16) & ~HELPER_CAPABILITIES == 0
    assert int(status["CapPrm"], 16) & ~HELPER_CAPABILITIES == 0
    assert status["NoNewPrivs"] == "1"
    strange = {one for one in writable_mounts(pid) if not one.startswith((*OF_THE_RUNTIME, "/sys"))}
    assert strange - ITS_FOLDERS == set()


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
    before = status_of(process_of(pod, "serve"))["Pid"]
    os.kill(process_of(pod, "--uid=60883"), signal.SIGKILL)
    owner = {"run": "helper", "epoch": 1}
    ended = await port.agents.request(node, "POST", "/faults/helper/disarm", json=owner)
    assert ended.json()["state"] == "disarmed"
    ref = Ref("Pod", pod["metadata"]["name"], NAMESPACE)
    known = restarts(pod)["kmsg-helper"]
    again = await until(port, ref, lambda one: is_ready(one) and restarts(one)["kmsg-helper"] > known)
    assert restarts(again)["agent"] == restarts(pod)["agent"]
    assert status_of(process_of(again, "serve"))["Pid"] == before
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
