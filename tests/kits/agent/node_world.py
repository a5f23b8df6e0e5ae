"""A node folder, and the real agent program on it."""

import json
import os
import secrets
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

POD = "0a1b2c3d-0000-4000-8000-000000000001"
"""The uid of a pod of its node."""
GPU0 = "GPU-11111111-2222-3333-4444-555555555555"
GPU1 = "GPU-66666666-7777-8888-9999-000000000000"
WATCHDOG_S = 60
OWNER_ADDRESS = "127.0.0.2"
"""Where its client connects from, when an agent listens on TCP."""


class Node:
    """A node of `local`, as its folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()
        self.kmsg = root / "kmsg"
        self.kmsg.touch()
        self.sock = root / "agent.sock"
        self.ctl = root / "run/offbus/page/ctl"
        self.events = root / "run/offbus/events" / POD / "events"
        """Of the one pod whose folder is here from the start."""
        self.events.parent.mkdir(parents=True)
        self.state = root / "var/lib/offbus/faults.json"
        self.token = secrets.token_hex(16)
        self.token_file = root / "token"
        self.token_file.write_text(self.token + "\n")
        self.token_file.chmod(0o600)
        gpus = [
            {
                "index": i,
                "uuid": uuid,
                "pci": f"0000:{0x3B + i:02x}:00.0",
                "name": "H100",
                "memory_bytes": 1 << 36,
            }
            for i, uuid in enumerate((GPU0, GPU1))
        ]
        (root / "gpus.json").write_text(json.dumps({"gpus": gpus}))

    def process(self, command: list[str], pod: str = POD) -> "subprocess.Popen[str]":
        """A process of a pod of the node."""
        env = {"PATH": os.environ["PATH"], "HOME": str(self.root / "pods" / pod)}
        return subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def lines(self) -> list[str]:
        """The texts in its kernel log."""
        return [line.split(";", 1)[1] for line in self.kmsg.read_text().splitlines()]

    def arguments(self, *more: str) -> list[str]:
        """A command line for its agent."""
        options = ["--node", "node-1", "--root", str(self.root), "--token-file", str(self.token_file)]
        return [sys.executable, "-m", "offbus_agent", "serve", *options, *more]


def metadata_text(*uuids: str, driver: str = "580.82.07") -> str:
    """NVSentinel's metadata of a node with these GPUs."""
    gpus = [
        {"gpu_id": i, "uuid": uuid, "pci_address": f"0000:{0x3B + i:02x}:00.0"}
        for i, uuid in enumerate(uuids)
    ]
    return json.dumps({"version": "1.0", "driver_version": driver, "gpus": gpus})


def list_gpus(node: Node, *uuids: str) -> Path:
    """Write the metadata file as NVSentinel's collector does."""
    path = node.root / "var/lib/nvsentinel/gpu_metadata.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(metadata_text(*uuids))
    sleep_past(path)
    return path


def sleep_past(path: Path) -> None:
    """Wait until a process that starts now is told to be younger than the file: both times have grains."""
    grain_s = 2 / os.sysconf("SC_CLK_TCK")
    while time.time() < path.stat().st_ctime + grain_s:
        time.sleep(grain_s)


@contextmanager
def process(*argv: str, executable: str = "/bin/cat", **how: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A process of these arguments that waits for the end of its input, and knows nothing else."""
    with subprocess.Popen(
        [argv[0], "-", "--", *argv[1:]],
        executable=executable,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        **how,
    ) as started:
        try:
            answer(started)
            yield started
        finally:
            started.kill()


def answer(started: subprocess.Popen[bytes]) -> None:
    """Have a `cat` repeat a line: /proc tells its arguments only some time after Popen has returned."""
    assert started.stdin is not None
    assert started.stdout is not None
    started.stdin.write(b"there?\n")
    started.stdin.flush()
    assert started.stdout.readline() == b"there?\n"


@contextmanager
def monitor(node: Node) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is taken for the node's stand-in detector."""
    words = ("python3", "-m", "offbus_sandbox.responder", "detector", f"--root={node.root}")
    with process(*words) as started:
        yield started


class RunningAgent:
    """The agent's process, ready."""

    def __init__(self, node: Node, *more: str) -> None:
        ready, tell = os.pipe()
        where = () if "--host" in more else ("--uds", str(node.sock))
        self.process = subprocess.Popen(
            node.arguments(*where, "--ready-fd", str(tell), *more),
            pass_fds=(tell,),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        os.close(tell)
        readable, _, _ = select.select([ready], [], [], WATCHDOG_S)
        told = os.read(ready, 1) if readable else b""
        os.close(ready)
        if not told:
            self.process.kill()
            raise AssertionError(f"the agent did not start: {self.process.communicate()}")
        self.client = connect(node, more[more.index("--port") + 1] if "--port" in more else None)

    def get(self, path: str) -> dict[str, Any]:
        """A GET that must work."""
        reply = self.client.get(path)
        assert reply.status_code == 200, reply.text
        answer: dict[str, Any] = reply.json()
        return answer

    def post(self, path: str, body: Any, expect: int = 200) -> dict[str, Any]:
        """A POST that must answer `expect`."""
        reply = self.client.post(path, json=body)
        assert reply.status_code == expect, reply.text
        answer: dict[str, Any] = reply.json()
        return answer

    def refused(self, path: str, body: Any) -> tuple[int, dict[str, Any]]:
        """A POST that must be refused: status and error."""
        reply = self.client.post(path, json=body)
        assert reply.status_code >= 400, reply.text
        error: dict[str, Any] = reply.json()
        assert reply.headers["content-type"] == "application/problem+json"
        assert (error["status"], error["title"]) == (reply.status_code, error["code"].replace("_", " "))
        assert error["detail"]
        return reply.status_code, error

    def wait_for(self, fault: str, kind: str) -> dict[str, Any]:
        """The first event of that kind, by long poll."""
        since = 0
        for _ in range(20):
            page = self.get(f"/faults/{fault}/events?since={since}&wait_s=5")
            since = page["next"]
            for event in page["events"]:
                if event["kind"] == kind:
                    return dict(event)
        raise AssertionError(f"no event {kind} of {fault}")

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """End it with a signal; (exit status, stderr)."""
        self.client.close()
        if self.process.poll() is None:
            self.process.send_signal(number)
        _, stderr = self.process.communicate(timeout=WATCHDOG_S)
        return self.process.returncode, stderr


def connect(node: Node, port: str | None = None, timeout_s: float = WATCHDOG_S) -> httpx.Client:
    """The owner's client of an agent, on a port or on the node's socket."""
    transport = (
        httpx.HTTPTransport(local_address=OWNER_ADDRESS) if port else httpx.HTTPTransport(uds=str(node.sock))
    )
    return httpx.Client(
        transport=transport,
        base_url=f"http://127.0.0.1:{port}" if port else "http://agent",
        headers={"X-Offbus-Token": node.token},
        timeout=timeout_s,
    )


def free_port() -> str:
    """A TCP port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return str(probe.getsockname()[1])


class Agents:
    """Starts agents, and ends what a test left running."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self._started: list[RunningAgent] = []

    def start(self, *more: str) -> RunningAgent:
        """A ready agent."""
        agent = RunningAgent(self.node, *more)
        self._started.append(agent)
        return agent

    def stop_all(self) -> None:
        """Kill whatever still runs."""
        for agent in self._started:
            if not agent.client.is_closed:
                agent.stop(signal.SIGKILL)


def request(fault: str = "f1", **changes: Any) -> dict[str, Any]:
    """A good fault request."""
    usual = {
        "id": fault,
        "run": "run-1",
        "epoch": 1,
        "xid": 79,
        "gpus": [GPU0],
        "planes": ["kernel", "cuda", "nvml"],
        "ttl_s": 60,
    }
    return {**usual, **changes}


OWNER = {"run": "run-1", "epoch": 1}
LEASE = {**OWNER, "ttl_s": 60}
