"""Requests without the token, however many, keep nobody from renewing and nobody else from being answered."""

import multiprocessing
import socket
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from multiprocessing.synchronize import Event

import pytest
import yaml

from offbus_agent.http.budget import READY
from tests.kits import REPOSITORY
from tests.kits.agent.floods import tcp
from tests.kits.agent.node_world import LEASE, Agents, Node, RunningAgent, connect, free_port, request

WATCHDOG_S = 10.0
POD = "127.0.0.3"
MORE_THAN_A_STRANGER_MAY = 60
AT_ONCE = 8
OPENAPI = b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n"


@pytest.fixture
def port() -> str:
    return free_port()


@pytest.fixture
def agent(agents: Agents, port: str) -> RunningAgent:
    """An agent that listens where peers differ."""
    return agents.start("--host", "127.0.0.1", "--port", port)


def asked(port: str, peer: str, path: str = "/health", header: str = "") -> int:
    """The status of one request on a connection of its own."""
    with closing(tcp(port, peer, WATCHDOG_S)) as sock:
        sock.sendall(f"GET {path} HTTP/1.1\r\nhost: x\r\n{header}connection: close\r\n\r\n".encode())
        return int(sock.makefile("rb").readline().split()[1])


def asked_at_once(port: str, peers: Sequence[str], path: str = "/health") -> list[int]:
    """The status of a request of each, several at a time: one after another is no flood on a busy machine."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(lambda peer: asked(port, peer, path), peers))


@pytest.mark.guarantee("G30")
@pytest.mark.parametrize("path", ["/health", "/nowhere", "/openapi.json", "/pods/x/preload"])
def test_a_stranger_with_many_requests_is_put_off_and_nobody_else(
    node: Node, agent: RunningAgent, port: str, path: str
) -> None:
    answers = asked_at_once(port, [POD] * MORE_THAN_A_STRANGER_MAY, path)
    assert answers[0] != 429
    assert 429 in answers
    assert asked(port, "127.0.0.9") == 200  # as kubelet's probe
    assert asked(port, POD, header=f"x-offbus-token: {node.token}\r\n") == 200
    assert asked(port, POD, header=f"Authorization: Bearer {node.token}\r\n") == 200


@pytest.mark.guarantee("G30")
def test_the_probe_is_answered_whoever_asks_from_its_address(agent: RunningAgent, port: str) -> None:
    """A user of the node has the same source address as the kubelet."""
    assert 429 in asked_at_once(port, [POD] * MORE_THAN_A_STRANGER_MAY)
    assert {asked(port, POD, "/readyz") for _ in range(2 * MORE_THAN_A_STRANGER_MAY)} == {200}
    assert 429 in asked_at_once(port, [POD] * MORE_THAN_A_STRANGER_MAY, "/readyz?x=1")


def test_what_a_probe_is_answered_is_the_same_on_every_connection(agent: RunningAgent, port: str) -> None:
    assert agent.get("/readyz") == {"ready": True, "why": []}
    with closing(tcp(port, POD, WATCHDOG_S)) as sock:
        sock.sendall(b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n")
        alone = b"".join(iter(lambda: sock.recv(65536), b""))
    assert alone.startswith(b"HTTP/1.1 200 ")
    assert alone.endswith(b'\r\n\r\n{"ready":true,"why":[]}')


def test_the_manifest_s_probe_asks_what_is_answered_always() -> None:
    documents = yaml.safe_load_all((REPOSITORY / "deploy/base/agent.yaml").read_text())
    pod = next(one for one in documents if one["kind"] == "DaemonSet")["spec"]["template"]["spec"]
    probed = [one["readinessProbe"] for one in pod["containers"] if "readinessProbe" in one]
    assert [probe["httpGet"]["path"] for probe in probed] == [READY]


def test_a_stranger_with_many_requests_on_one_connection_is_put_off(agent: RunningAgent, port: str) -> None:
    with closing(tcp(port, POD, WATCHDOG_S)) as sock:
        sock.sendall(OPENAPI * MORE_THAN_A_STRANGER_MAY)
        answers = b"".join(iter(lambda: sock.recv(65536), b""))
    assert answers.count(b"HTTP/1.1 200 ") < MORE_THAN_A_STRANGER_MAY
    assert answers.count(b"HTTP/1.1 429 ") == 1


def test_strangers_of_many_addresses_leave_room_for_one_that_asks_now_and_then(
    agent: RunningAgent, port: str
) -> None:
    answers = asked_at_once(port, [f"127.0.1.{1 + number % 30}" for number in range(150)])
    assert 429 in answers
    assert asked(port, "127.0.0.9") == 200


def flood(port: str, over: Event, begun: Event) -> None:
    """A pod's loop: connect, ask, forget."""
    opened: list[socket.socket] = []
    while not over.is_set():
        with suppress(OSError):
            opened.append(tcp(port, POD, WATCHDOG_S))
            opened[-1].sendall(OPENAPI)
        while len(opened) > 20:
            opened.pop(0).close()
            begun.set()


@contextmanager
def flooded(port: str) -> Iterator[None]:
    """Two programs that ask as fast as they can."""
    spawn = multiprocessing.get_context("spawn")
    over, begun = spawn.Event(), spawn.Event()
    programs = [spawn.Process(target=flood, args=(port, over, begun), daemon=True) for _ in range(2)]
    for program in programs:
        program.start()
    try:
        assert begun.wait(6 * WATCHDOG_S)
        yield
    finally:
        over.set()
        for program in programs:
            program.join(WATCHDOG_S)
            program.kill()


@pytest.mark.guarantee("G30")
def test_a_flood_of_requests_keeps_nobody_from_renewing(agent: RunningAgent, port: str, node: Node) -> None:
    agent.post("/faults", request(planes=["cuda"], ttl_s=600), expect=201)
    with flooded(port):
        for _ in range(5):  # each on a new connection
            with connect(node, port, WATCHDOG_S) as owner:
                assert owner.post("/faults/f1/renew", json=LEASE).status_code == 200
