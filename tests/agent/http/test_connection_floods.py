"""Connections that only occupy the agent keep nobody from renewing and disarming: real sockets, a real process."""

import asyncio
import resource
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, suppress
from functools import partial
from http.client import HTTPConnection

import anyio
import pytest
import uvicorn

from offbus_agent.http.connections import (
    ANSWER_S,
    BODY_S,
    HEAD_S,
    STRANGERS,
    bounded,
    protocol,
)
from offbus_agent.http.listen import listen_unix, log_accept_errors_rarely
from offbus_agent.http.uvicorn_server import OwnSignals
from tests.kits.agent.floods import HALF_A_HEAD, POLL, connections, tcp
from tests.kits.agent.in_time import armed, served
from tests.kits.agent.node_world import LEASE, OWNER, Agents, Node, RunningAgent, free_port, request
from tests.kits.virtual_time import in_virtual_asyncio_time

WATCHDOG_S = 10.0
IDLE_S = 5.0
"""uvicorn's own limit for what comes after an answer."""
FILES = 256
"""As small as service managers set it."""
BROKEN_HEAD = b"HEAD /health HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"
POD = "127.0.0.3"
"""Another address than the owner's."""
FLOODS = {
    "nothing is sent": b"",
    "half a head": HALF_A_HEAD,
    "half a body": b"POST /faults/f1/renew HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{",
    "a long poll": POLL,
    "no HTTP": b"\x16\x03\x01\x02\x00\r\n\r\n",
}


@pytest.fixture
def port() -> str:
    return free_port()


@pytest.fixture
def agent(agents: Agents, port: str) -> Iterator[RunningAgent]:
    """An agent that may open few files, and listens where peers differ."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, hard))
    try:
        started = agents.start("--host", "127.0.0.1", "--port", port)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return started


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


@pytest.mark.guarantee("G30")
@pytest.mark.parametrize("sent", FLOODS.values(), ids=FLOODS)
def test_nobody_is_kept_from_renewing_and_disarming(agent: RunningAgent, port: str, sent: bytes) -> None:
    agent.post("/faults", request(planes=["cuda"], ttl_s=600), expect=201)
    begun = time.monotonic()
    with connections(partial(tcp, port, POD, WATCHDOG_S), sent, 2 * FILES):
        agent.post("/faults/f1/renew", LEASE)
        assert agent.post("/faults/f1/disarm", OWNER)["state"] == "disarmed"
    assert time.monotonic() - begun < 10 * WATCHDOG_S
    _, log = agent.stop()
    assert len(log.splitlines()) < 20, log


@pytest.mark.usefixtures("agent")
def test_a_peer_with_many_connections_loses_them_first(port: str) -> None:
    with (
        tcp(port, "127.0.0.9", WATCHDOG_S) as other,
        connections(partial(tcp, port, POD, WATCHDOG_S), b"", STRANGERS + 10) as flood,
    ):
        assert is_closed(flood[0])
        other.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        assert other.recv(65536).startswith(b"HTTP/1.1 200 ")


@pytest.mark.guarantee("G30")
def test_a_long_poll_with_the_token_is_not_ended_by_strangers(
    agent: RunningAgent, node: Node, port: str
) -> None:
    agent.post("/faults", request(planes=["cuda"], ttl_s=600), expect=201)
    polling = HTTPConnection("127.0.0.1", int(port), timeout=WATCHDOG_S, source_address=(POD, 0))
    polling.request("GET", "/faults/f1/events?since=1&wait_s=60", headers={"X-Offbus-Token": node.token})
    with (
        closing(polling),
        tcp(port, POD, WATCHDOG_S) as idle,
        connections(partial(tcp, port, POD, WATCHDOG_S), HALF_A_HEAD, STRANGERS + 10),
    ):
        assert is_closed(idle)
        agent.post("/faults/f1/disarm", OWNER)
        assert polling.getresponse().status == 200


@pytest.mark.timer("agent/offbus_agent/http/connections.py", "agent/offbus_agent/http/body.py")
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


@pytest.mark.timer("agent/offbus_agent/http/connections.py")
@in_virtual_asyncio_time
async def test_a_connection_that_sends_a_byte_now_and_then_is_closed_too(node: Node) -> None:
    async with armed(node, ttl_s=3600) as (watched, _), served(watched.agent, node):
        _, writer = await asyncio.open_unix_connection(str(node.sock))
        with anyio.fail_after(2 * HEAD_S), pytest.raises(ConnectionError):
            await drip(writer)


async def never(_scope: object, _receive: object, _send: object) -> None:
    await anyio.sleep_forever()


@asynccontextmanager
async def without_answer(node: Node, most: int) -> AsyncIterator[None]:
    """A server that answers nothing, and lets strangers have so many connections."""
    with listen_unix(node.sock) as listening:
        config = uvicorn.Config(
            bounded(never), log_config=None, lifespan="off", ws="none", http=protocol(most)
        )
        server = OwnSignals(config)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: server.serve(sockets=[listening]))
            await anyio.sleep(1)
            yield
            server.stop()


@pytest.mark.timer("agent/offbus_agent/http/connections.py")
@in_virtual_asyncio_time
async def test_an_answer_that_does_not_come_ends_its_connection(node: Node) -> None:
    async with without_answer(node, STRANGERS):
        reader, writer = await asyncio.open_unix_connection(str(node.sock))
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
        assert anyio.current_time() == pytest.approx(1 + ANSWER_S, abs=1)
        writer.close()


@pytest.mark.parametrize(("most", "remaining"), [(4, 4), (12, 10)])
@in_virtual_asyncio_time
async def test_a_server_has_as_many_strangers_as_it_wants(node: Node, most: int, remaining: int) -> None:
    async with without_answer(node, most):
        opened = [await asyncio.open_unix_connection(str(node.sock)) for _ in range(10)]
        for _, writer in opened:
            with suppress(ConnectionError):
                writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        await anyio.sleep(1)
        assert sum(not reader.at_eof() and not reader.exception() for reader, _ in opened) == remaining
        for _, writer in opened:
            writer.close()


@pytest.mark.timer("agent/offbus_agent/http/listen.py")
@in_virtual_asyncio_time
async def test_connections_that_cannot_be_accepted_are_told_once_a_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    loop = asyncio.get_running_loop()
    log_accept_errors_rarely(loop)
    for _ in range(90):
        failed = {"message": "socket.accept() out of system resource", "exception": OSError(24, "too many")}
        loop.call_exception_handler(failed)
        await anyio.sleep(1)
    assert [one.levelname for one in caplog.records] == ["ERROR", "ERROR"]


async def drip(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"G")
        await writer.drain()
        await anyio.sleep(HEAD_S / 4)


@pytest.mark.parametrize(
    "sent",
    [
        BROKEN_HEAD,
        b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n" + BROKEN_HEAD,
    ],
    ids=["at first", "after another"],
)
def test_a_broken_body_of_a_request_without_an_answer_s_body_ends_the_connection_and_logs_nothing(
    agent: RunningAgent, port: str, sent: bytes
) -> None:
    """Found by fuzzing: each such request was logged with a traceback."""
    with closing(tcp(port, POD)) as sock:
        sock.sendall(sent)
        assert is_closed(sock)
    agent.get("/health")
    assert agent.stop() == (0, "")
