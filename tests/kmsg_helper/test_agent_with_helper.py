"""The agent over the helper: the same drill as without, and what it says when the helper refuses or is gone."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from offbus_agent.faults import monitors
from offbus_agent.faults.hidden import HelperLooks
from offbus_agent.faults.monitors import knowledge_of
from offbus_agent.kmsg_helper import HelperUnreachable, Kind, KmsgHelper, Status
from tests.kits.agent.helper_world import WATCHDOG_S, RunningHelper, helper
from tests.kits.agent.hung_fuse import NAME, hung_fuse, needs_fuse
from tests.kits.agent.node_world import GPU0, GPU1, LEASE, OWNER, Agents, Node, list_gpus, monitor, request


def test_a_fault_is_shown_and_cleared_through_the_helper(node: Node, agents: Agents) -> None:
    list_gpus(node, GPU0, GPU1)
    with monitor(node), helper(node.root) as running:
        agent = agents.start("--kmsg-helper", str(running.socket))
        health = agent.get("/health")["planes"]["kernel"]
        assert health == {"ok": True, "path": str(running.socket), "why": "", "code": ""}
        fault = agent.post("/faults", request(gpus=[GPU0, GPU1]), expect=201)
        assert [entry["seq"] for entry in fault["kernel"]] == [0, 1]
        assert [entry["line"] for entry in fault["kernel"]] == node.lines()
        agent.post("/faults/f1/recover", OWNER)
        cleared = agent.post("/faults/f1/clear", OWNER)
        assert [entry["line"] for entry in cleared["lines"]] == node.lines()[2:]
        assert cleared["left_out"] == []


def test_a_stopped_node_says_so_and_still_ends_faults(node: Node, agents: Agents) -> None:
    stop = node.root / "stop"
    with helper(node.root, f"--stop-file={stop}") as running:
        stop.touch()
        agent = agents.start("--kmsg-helper", str(running.socket))
        health = agent.get("/health")["planes"]["kernel"]
        assert (health["ok"], health["code"]) == (False, "plane_failed")
        assert f"are stopped on this node: {stop} is there" in health["why"]
        status, error = agent.refused("/faults", request())
        assert (status, error["code"], error["plane"]) == (500, "plane_failed", "kernel")
        agent.post("/faults", request("f2", planes=["cuda"]), expect=201)
        agent.post("/faults/f2/disarm", OWNER)
        stop.unlink()
        agent.post("/faults", request(), expect=201)
    assert len(node.lines()) == 1


def test_a_helper_that_is_killed_is_missed_and_its_successor_found(node: Node, agents: Agents) -> None:
    with helper(node.root) as running:
        agent = agents.start("--kmsg-helper", str(running.socket))
        agent.post("/faults", request(planes=["cuda", "kernel"]), expect=201)
        running.stop(signal.SIGKILL)
        assert "cannot be asked: Connection refused" in agent.get("/health")["planes"]["kernel"]["why"]
        assert agent.refused("/faults", request("f2", planes=["kernel"]))[0] == 500
        assert agent.post("/faults/f1/renew", LEASE)["state"] == "armed"
        assert agent.post("/faults/f1/disarm", OWNER)["state"] == "disarmed"
        with helper(node.root):
            agent.post("/faults", request("f3", planes=["kernel"]), expect=201)


def test_an_agent_waits_for_a_helper_that_starts_after_it(node: Node) -> None:
    socket = node.root / "helper/socket"
    socket.parent.mkdir()
    command = node.arguments("--uds", str(node.sock), "--kmsg-helper", str(socket))
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as agent:
        assert agent.stdout is not None
        running = RunningHelper(node.root)
        try:
            assert agent.stdout.readline().startswith("offbus-agent: ready")
        finally:
            agent.kill()
            running.stop()


def test_a_dead_helpers_socket_is_no_helper(tmp_path: Path) -> None:
    with helper(tmp_path) as running:
        running.stop(signal.SIGKILL)
        assert running.socket.is_socket()
        with pytest.raises(HelperUnreachable, match="no kernel-log helper listens"):
            running.client.await_listening(0.05)
        with helper(tmp_path) as second:
            second.client.await_listening(0.05)


@needs_fuse
def test_a_monitor_that_the_helper_cannot_look_at_knows_no_gpu(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pod's file system does not answer; the helper does, and goes on."""
    monkeypatch.setattr(monitors, "_NAME", NAME)
    list_gpus(node, GPU0)
    with hung_fuse(tmp_path, "pending") as hung, helper(node.root) as running:
        why = knowledge_of(node.root, HelperLooks(running.client), of_machine=True).why_not(GPU0)
        assert why.startswith(f"the monitor (pid {hung.pid})"), why
        assert "does not answer" in why
        assert running.client.ask(Kind.STATUS).status is Status.DONE


def test_a_helper_that_does_not_come_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(HelperUnreachable, match=r"no kernel-log helper listens at .*socket within 0.05 s"):
        KmsgHelper(tmp_path / "socket").await_listening(0.05)
    with pytest.raises(HelperUnreachable, match=r"cannot wait for .*: No such file"):
        KmsgHelper(tmp_path / "absent/socket").await_listening(0.05)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--kmsg", "/dev/kmsg", "--kmsg-helper", "/s"], "leave it out"),
        (["--kmsg-helper", "/nowhere/socket"], "cannot wait for /nowhere/socket: No such file"),
    ],
)
def test_what_cannot_work_is_told(node: Node, options: list[str], words: str) -> None:
    done = subprocess.run(
        node.arguments("--uds", str(node.sock), *options),
        capture_output=True,
        text=True,
        timeout=WATCHDOG_S,
    )
    assert done.returncode == (2 if "--kmsg" in options else 3)
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_the_command_becomes_the_program(node: Node) -> None:
    socket = node.root / "socket"
    options = ["--socket", str(socket), "--uid", "0", "--root", str(node.root), "--log", str(node.kmsg)]
    command = [sys.executable, "-m", "offbus_agent", "kmsg-helper", *options, "--gpus", "3"]
    with subprocess.Popen(command) as started:
        try:
            KmsgHelper(socket).await_listening(WATCHDOG_S)
            proc = Path(f"/proc/{started.pid}")
            assert (proc / "exe").readlink().name == "offbus-kmsg-helper"
            assert b"--gpus=3" in (proc / "cmdline").read_bytes().split(b"\0")
        finally:
            started.terminate()
    assert started.returncode == 0
