"""Connections that only occupy the agent keep nobody from renewing and disarming: real sockets, a real process."""

import asyncio
import json
import resource
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from http.client import HTTPConnection

import anyio
import httpx
import pytest

from offbus_agent.http.connections import BODY_S, HEAD_S, STRANGERS
from tests.kits.agent.in_time import armed, served
from tests.kits.agent.node_world import LEASE, OWNER, Agents, Node, RunningAgent, request
from tests.kits.virtual_time import in_virtual_asyncio_time

WATCHDOG_S = 10.0
IDLE_S = 5.0
"""uvicorn's own limit for what comes after an answer."""
FILES = 256
"""As small as service managers set it."""
POLL = b"GET /faults/f1/events?since=99&wait_s=60 HTTP/1.1\r\nhost: x\r\n\r\n"
FLOODS = {
    "nothing is sent": b"",
    "half a head": b"POST /faults/f1/renew HTTP/1.1\r\nhost: x\r\n",
    "half a body": b"POST /faults/f1/renew HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{",
    "a long poll": POLL,
    "no HTTP": b"\x16\x03\x01\x02\x00\r\n\r\n",
}


@pytest.fixture
def agent(agents: Agents) -> Iterator[RunningAgent]:
    """An agent that may open few files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES) if hard == FILES else (FILES, hard))
    try:
        yield agents.start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def connections(
    connect: Callable[[], socket.socket], sent: bytes, number: int
) -> Iterator[list[socket.socket]]:
    """So many connections that stay open on this side."""
    with ExitStack() as stack:
        opened = []
        for _ in range(number):
            one = stack.enter_context(connect())
            if sent:
                one.sendall(sent)
            opened.append(one)
        yield opened


def unix(node: Node) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(node.sock))  # with a timeout, a full backlog would be an error
    sock.settimeout(WATCHDOG_S)
    return sock


def is_closed(sock: socket.socket) -> bool:
    """Whether the other side has closed it; what it had sent before is read."""
    sock.settimeout(WATCHDOG_S)
    try:
        while sock.recv(65536):
            pass
    except ConnectionResetError:
        pass
    except TimeoutError:
        return False
    return True


@pytest.mark.parametrize("sent", FLOODS.values(), ids=FLOODS)
def test_nobody_is_kept_from_renewing_and_disarming(node: Node, agent: RunningAgent, sent: bytes) -> None:
    agent.post("/faults", request(planes=["cuda"], ttl_s=600), expect=201)
    agent.client.close()
    begun = time.monotonic()
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    with connections(partial(unix, node), sent, 2 * FILES), client(node) as owner:
        assert owner.post("/faults/f1/renew", json=LEASE).status_code == 200
        assert owner.post("/faults/f1/disarm", json=OWNER).json()["state"] == "disarmed"
    assert time.monotonic() - begun < 10 * WATCHDOG_S
    _, log = agent.stop()
    assert len(log.splitlines()) < 20, log


def client(node: Node) -> httpx.Client:
    return httpx.Client(
        transport=httpx.HTTPTransport(uds=str(node.sock)),
        base_url="http://agent",
        headers={"X-Offbus-Token": node.token},
        timeout=WATCHDOG_S,
    )


@pytest.fixture
def port(agents: Agents) -> int:
    """That of an agent which listens on TCP, where peers differ."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        found: int = probe.getsockname()[1]
    agents.start("--host", "127.0.0.1", "--port", str(found))
    return found


def tcp(port: int, peer: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), WATCHDOG_S, (peer, 0))


def test_a_peer_with_many_connections_loses_them_first(port: int) -> None:
    with (
        tcp(port, "127.0.0.2") as other,
        connections(partial(tcp, port, "127.0.0.3"), b"", STRANGERS + 10) as flood,
    ):
        assert is_closed(flood[0])
        other.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        assert other.recv(65536).startswith(b"HTTP/1.1 200 ")


def ask(port: int, peer: str, node: Node, method: str, path: str, body: object = None) -> HTTPConnection:
    """A request with the token, sent."""
    asked = HTTPConnection("127.0.0.1", port, timeout=WATCHDOG_S, source_address=(peer, 0))
    asked.request(method, path, None if body is None else json.dumps(body), {"X-Offbus-Token": node.token})
    return asked


def test_a_long_poll_with_the_token_is_not_ended_by_strangers(port: int, node: Node) -> None:
    created = ask(port, "127.0.0.2", node, "POST", "/faults", request(planes=["cuda"], ttl_s=600))
    with closing(created):
        assert created.getresponse().status == 201
    polling = ask(port, "127.0.0.3", node, "GET", "/faults/f1/events?since=1&wait_s=60")
    with (
        closing(polling),
        tcp(port, "127.0.0.3") as idle,
        connections(partial(tcp, port, "127.0.0.3"), POLL, STRANGERS + 10),
    ):
        assert is_closed(idle)
        with closing(ask(port, "127.0.0.2", node, "POST", "/faults/f1/disarm", OWNER)) as owner:
            assert owner.getresponse().status == 200
        assert polling.getresponse().status == 200


@pytest.mark.parametrize(
    ("sent", "within_s", "answer"),
    [
        (b"", HEAD_S, b""),
        (b"GET /hea", HEAD_S, b""),
        (b"GET /health HTTP/1.1\r\nhost: x\r\n\r\nGET /hea", IDLE_S, b"HTTP/1.1 200 "),
        (
            b"POST /faults HTTP/1.1\r\nhost: x\r\nx-offbus-token: TOKEN\r\ncontent-length: 9\r\n\r\n{",
            BODY_S,
            b"HTTP/1.1 408 ",
        ),
    ],
    ids=["nothing", "half a head", "half a second head", "half a body"],
)
@in_virtual_asyncio_time
async def test_a_connection_that_sends_no_whole_request_is_closed(
    node: Node, sent: bytes, within_s: float, answer: bytes
) -> None:
    async with armed(node, ttl_s=3600) as (watched, _), served(watched.agent, node):
        reader, writer = await asyncio.open_unix_connection(str(node.sock))
        writer.write(sent.replace(b"TOKEN", node.token.encode()))
        got = await reader.read()
        assert got.startswith(answer)
        assert bool(got) == bool(answer)
        assert anyio.current_time() == pytest.approx(within_s, abs=1.0)
        writer.close()


@in_virtual_asyncio_time
async def test_a_connection_that_sends_a_byte_now_and_then_is_closed_too(node: Node) -> None:
    async with armed(node, ttl_s=3600) as (watched, _), served(watched.agent, node):
        _, writer = await asyncio.open_unix_connection(str(node.sock))
        with anyio.fail_after(2 * HEAD_S), pytest.raises(ConnectionError):
            await drip(writer)


async def drip(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"G")
        await writer.drain()
        await anyio.sleep(HEAD_S / 4)
