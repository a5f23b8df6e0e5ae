"""The agent as in a cluster: of a user that has nothing, beside root's helper. A whole drill, and what it can reach."""

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from offbus_agent.agent import HELPER_WITHIN_S
from tests.kits.agent.gpu_process import GpuProgram, needs_shim
from tests.kits.agent.helper_world import WATCHDOG_S, RunningHelper
from tests.kits.agent.node_world import (
    GPU1,
    OWNER,
    POD,
    RunningAgent,
    free_port,
    list_gpus,
    monitor,
    request,
)
from tests.kits.agent.unprivileged import (
    AGENT,
    WHAT_IT_MAY_WRITE,
    ClosedNode,
    RootsNode,
    cgroup_of_a_pod,
    needs_root,
    status_of,
)

pytestmark = [needs_root, needs_shim]
CONTAINER = "c0ffee" + "0" * 58


@pytest.fixture
def node(open_folder: Path) -> ClosedNode:
    return ClosedNode(open_folder / "n")


@pytest.fixture
def helper(node: ClosedNode) -> Iterator[RunningHelper]:
    started = node.helper()
    yield started
    if started.process.poll() is None:
        started.stop(signal.SIGKILL)


@pytest.fixture
def agent(node: ClosedNode, helper: RunningHelper) -> Iterator[RunningAgent]:
    started = node.agent(helper)
    yield started
    started.stop(signal.SIGKILL)


@pytest.fixture
def program(node: ClosedNode, agent: RunningAgent) -> Iterator[GpuProgram]:
    """Of root's, in a pod that came after the agent; its folder is as the kubelet makes it."""
    node.events.parent.mkdir(mode=0o700)
    with cgroup_of_a_pod(POD, CONTAINER) as within, ExitStack() as ends:
        started = GpuProgram(node, *within)
        ends.callback(started.end)
        yield started


@pytest.mark.guarantee("G33")
def test_a_drill_is_proven_and_undone(node: ClosedNode, agent: RunningAgent, program: GpuProgram) -> None:
    fault = agent.post("/faults", request(), expect=201)
    assert [entry["line"] for entry in fault["kernel"]] == node.lines()
    assert program.ask("alloc") == 719
    event = agent.wait_for("f1", "first_faulted")
    assert (event["function"], event["host_pid"], event["pod_uid"]) == (
        "cuMemAlloc_v2",
        program.process.pid,
        POD,
    )
    [process] = agent.get(f"/pods/{POD}/preload")["processes"]
    assert process["container"] == CONTAINER
    assert process["value"] == str(node.root / "run/offbus/lib/liboffbus.so")
    assert agent.post("/faults/f1/recover", OWNER)["state"] == "disarmed"
    assert program.ask("alloc") == 0


def test_who_has_ended_by_then_is_known_from_the_arming(agent: RunningAgent, program: GpuProgram) -> None:
    agent.post("/faults", request(), expect=201)
    agent.process.send_signal(signal.SIGSTOP)
    assert program.ask("alloc") == 719
    program.end()
    agent.process.send_signal(signal.SIGCONT)
    event = agent.wait_for("f1", "first_faulted")
    assert (event["host_pid"], event["pod_uid"]) == (program.process.pid, POD)


@pytest.mark.guarantee("G33")
def test_it_has_no_capability_and_no_root(agent: RunningAgent, program: GpuProgram) -> None:
    agent.post("/faults", request(), expect=201)
    status = status_of(agent.process.pid)
    assert (status["Uid"].split(), status["Gid"].split()) == ([str(AGENT)] * 4, [str(AGENT)] * 4)
    assert status["Groups"] == ""
    caps = {kind: int(status[kind], 16) for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
    assert not any(caps.values()), caps
    assert status["NoNewPrivs"] == "1"
    assert program.ask("alloc") == 719


def written(pid: int) -> set[Path]:
    """The files that a process has open, or mapped and shared, for writing."""
    found = set()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        flags = int(Path(f"/proc/{pid}/fdinfo/{fd.name}").read_text().split("flags:\t")[1].split()[0], 8)
        if flags & os.O_ACCMODE != os.O_RDONLY and stat.S_ISREG(fd.stat().st_mode):
            found.add(fd.readlink())
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        fields = line.split(maxsplit=5)
        if fields[1][1] == "w" and fields[1][3] == "s" and len(fields) > 5:
            found.add(Path(fields[5]))
    return found


@pytest.mark.guarantee("G33")
def test_it_writes_its_state_and_the_page_alone(
    node: ClosedNode, agent: RunningAgent, program: GpuProgram
) -> None:
    agent.post("/faults", request(), expect=201)
    assert program.ask("alloc") == 719
    agent.wait_for("f1", "first_faulted")
    state = node.state.parent
    assert {path for path in written(agent.process.pid) if path.parent != state} <= {node.ctl, node.events}
    drop = [f"--reuid={AGENT}", f"--regid={AGENT}", "--clear-groups"]
    asked = ["setpriv", *drop, sys.executable, "-I", "-S", "-c", WHAT_IT_MAY_WRITE, str(node.root)]
    told = subprocess.run(asked, capture_output=True, text=True, timeout=WATCHDOG_S, check=True).stdout
    folders = ("run/offbus/page", "run/offbus/lib", "run/offbus/events", "var/lib/offbus", "helper")
    own_token = {node.token_file.name}
    found = {str(Path(one).relative_to(node.root)) for one in told.splitlines()}
    assert {one for one in found if not one.startswith(folders)} == own_token
    assert set(folders) <= found


def ready_again(agent: RunningAgent, *, ready: bool) -> dict[str, object]:
    """What a probe is answered, once it is that the agent is ready, or that it is not."""
    until = time.monotonic() + WATCHDOG_S
    while time.monotonic() < until:
        reply = agent.client.get("/readyz")
        told: dict[str, object] = reply.json()
        assert reply.status_code == (200 if told["ready"] else 503)
        if told["ready"] == ready:
            return told
    raise AssertionError(f"the probe is answered {told}")


@pytest.mark.guarantee("G33")
def test_it_is_ready_while_the_helper_is_there_and_says_why_when_not(
    node: ClosedNode, agent: RunningAgent, helper: RunningHelper
) -> None:
    assert agent.get("/readyz") == {"ready": True, "why": []}
    helper.stop(signal.SIGKILL)
    assert "cannot be asked: Connection refused" in str(ready_again(agent, ready=False)["why"])
    again = node.helper()
    try:
        ready_again(agent, ready=True)
    finally:
        again.stop()


@pytest.mark.guarantee("G33")
def test_a_helper_that_hangs_keeps_no_lease_alive(agent: RunningAgent, helper: RunningHelper) -> None:
    agent.post("/faults", request("f1", planes=["cuda"], ttl_s=5), expect=201)
    agent.post("/faults", request("f2", planes=["nvml"], gpus=[GPU1]), expect=201)
    helper.process.send_signal(signal.SIGSTOP)
    assert agent.post("/faults/f2/disarm", OWNER)["state"] == "disarmed"
    agent.wait_for("f1", "expired")
    assert f"does not answer within {HELPER_WITHIN_S:g} s" in str(ready_again(agent, ready=False)["why"])
    helper.process.send_signal(signal.SIGCONT)
    ready_again(agent, ready=True)


def test_what_happens_while_the_helper_is_away_is_found_when_it_is_back(
    node: ClosedNode, agent: RunningAgent, helper: RunningHelper, program: GpuProgram
) -> None:
    helper.stop(signal.SIGKILL)
    agent.post("/faults", request(planes=["cuda"]), expect=201)
    assert program.ask("alloc") == 719
    assert agent.get("/faults/f1")["first_faulted"] == []
    refused = agent.client.get(f"/pods/{POD}/preload")
    assert (refused.status_code, refused.json()["code"]) == (503, "helper_away")
    again = node.helper()
    try:
        event = agent.wait_for("f1", "first_faulted")
        assert (event["host_pid"], event["pod_uid"]) == (program.process.pid, POD)
    finally:
        again.stop()
    log = agent.stop()[1]
    assert log.count("processes are not looked at: the kernel-log helper at") == 1
    assert "Traceback" not in log


def test_what_an_agent_of_root_left_is_taken_over(node: ClosedNode) -> None:
    """Its state, with a fault that goes on; its page and library, and the file that it made in a pod's folder."""
    node.events.parent.mkdir(parents=True)
    with cgroup_of_a_pod(POD, CONTAINER) as within, ExitStack() as ends:
        root = RunningAgent(RootsNode(node), "--host", "127.0.0.1", "--port", free_port())
        program = GpuProgram(node, *within)
        ends.callback(program.end)
        root.post("/faults", request(), expect=201)
        root.stop()
        assert {path.stat().st_uid for path in (node.ctl, node.events, node.state)} == {0}
        helper = node.helper()
        ends.callback(helper.stop)
        agent = node.agent(helper)
        assert agent.get("/faults/f1")["state"] == "armed"
        assert program.ask("alloc") == 719
        assert agent.wait_for("f1", "first_faulted")["pod_uid"] == POD
        assert "Traceback" not in agent.stop()[1]


def test_the_clear_asks_the_helper_who_reads_the_metadata(node: ClosedNode, agent: RunningAgent) -> None:
    list_gpus(node, *request()["gpus"])
    agent.post("/faults", request(planes=["kernel"]), expect=201)
    agent.post("/faults/f1/disarm", OWNER)
    [left] = agent.post("/faults/f1/clear", OWNER)["left_out"]
    assert "is recognised here" in left["why"]
    with monitor(node):  # of root's, as NVSentinel's
        [cleared] = agent.post("/faults/f1/clear", OWNER)["lines"]
    assert cleared["line"] == node.lines()[-1]
