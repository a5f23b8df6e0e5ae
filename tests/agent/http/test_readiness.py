"""The agent's readiness says why, to whoever asks; also over the short way that a probe takes."""

import asyncio
import shutil
import socket
from contextlib import closing

import pytest

from offbus_agent.agent import Agent, NodePaths, open_agent
from offbus_agent.faults.policy import Policy
from offbus_agent.faults.store import Store
from offbus_agent.http.readiness import Readiness
from offbus_agent.http.token import TokenFile
from offbus_agent.models import PlaneHealth, Ready
from tests.kits.agent.node_world import WATCHDOG_S, Node, RunningAgent, free_port
from tests.kits.virtual_time import in_virtual_asyncio_time


@pytest.fixture
def on_port(agents, node: Node) -> tuple[RunningAgent, str]:
    port = free_port()
    return agents.start("--host", "127.0.0.1", "--port", port), port


def probed(port: str) -> tuple[int, str]:
    """What kubelet's probe gets."""
    with closing(socket.create_connection(("127.0.0.1", int(port)), WATCHDOG_S)) as sock:
        sock.sendall(b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n")
        head, _, body = b"".join(iter(lambda: sock.recv(65536), b"")).partition(b"\r\n\r\n")
    return int(head.split()[1]), body.decode()


def eventually(agent: RunningAgent, status: int) -> dict:
    """The answer once it has that status: it may be as old as a second."""
    for _ in range(WATCHDOG_S * 10):
        reply = agent.client.get("/readyz")
        if reply.status_code == status:
            return reply.json()
        agent.client.get("/faults/none/events?wait_s=0")
    raise AssertionError(f"{reply.status_code} {reply.text}")


def test_a_plane_that_does_not_work_is_told_and_the_other_ones_do(on_port, node: Node) -> None:
    _, port = on_port
    node.kmsg.unlink()
    status, body = probed(port)
    assert status == 200
    assert "plane kernel: " in body
    assert str(node.kmsg) in body


def test_without_any_plane_it_is_not_ready(on_port, node: Node) -> None:
    agent, port = on_port
    node.kmsg.unlink()
    shutil.rmtree(node.ctl.parent)
    why = eventually(agent, 503)["why"]
    assert [reason.partition(":")[0] for reason in why] == ["plane kernel", "plane cuda", "plane nvml"]
    assert probed(port)[0] == 503


def test_without_a_token_it_is_not_ready(on_port, node: Node) -> None:
    agent, _ = on_port
    node.token_file.chmod(0o644)
    assert "world-readable" in eventually(agent, 503)["why"][0]
    node.token_file.chmod(0o600)
    assert eventually(agent, 200) == {"ready": True, "why": []}


async def inline(func, /, *args, **kwargs):
    return func(*args, **kwargs)


def agent_of(node: Node) -> Agent:
    """An agent without a program."""
    paths = NodePaths("node-1", node.root, node.kmsg, node.root / "state")
    return open_agent(paths, Policy(), Store(paths.state, "boot"), in_thread=inline)


@pytest.mark.timer("agent/offbus_agent/http/readiness.py")
@in_virtual_asyncio_time
async def test_however_many_ask_it_looks_once_a_second(node: Node) -> None:
    looks: list[float] = []

    class Counted(Readiness):
        def now(self, away: str, kernel: PlaneHealth | None) -> Ready:
            looks.append(0)
            return Ready(ready=True)

    readiness = Counted(agent_of(node), TokenFile(node.token_file), in_thread=inline)
    for _ in range(100):
        assert await readiness.answer() == (200, b'{"ready":true,"why":[]}')
    assert len(looks) == 1
    await asyncio.sleep(1.01)
    await readiness.answer()
    assert len(looks) == 2
