"""Nothing that a Connection opened is still open or closing when it has ended, and who is given up is left at once.

The server of these tests never answers a TLS farewell: asyncio alone would wait for it for half a minute.
"""

import stat
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import anyio
import pytest

from offbus_steps.kubernetes.rest.api import LARGE, Api, Call
from offbus_steps.kubernetes.rest.connection import Connection
from offbus_steps.kubernetes.rest.rate_limit import Pace
from offbus_steps.kubernetes.rest.watch_stream import events_after
from tests.kits.steps.rude_server import BEGUN, ENDED, TUNNEL, RudeServer, rude_server

READ = Call("GET", "/api/v1/nodes")
LARGE_WRITE = Call("POST", "/api/v1/nodes", body={"data": "x" * 32 * LARGE})
WATCHDOG_S = 10


@pytest.fixture
def anyio_backend() -> str:
    """The client is aiohttp's."""
    return "asyncio"


def sockets() -> set[int]:
    """The inodes of this process's sockets."""
    found = (one.stat() for one in Path("/proc/self/fd").iterdir() if one.exists())
    return {one.st_ino for one in found if stat.S_ISSOCK(one.st_mode)}


def api_of(connection: Connection) -> Api:
    return Api(connection, Pace(qps=1000, burst=1000))


def silent_handshake(server: RudeServer) -> None:
    server.handshakes = False


def silent_proxy(server: RudeServer) -> None:
    server.tunnel = b""


def proxy(server: RudeServer) -> None:
    server.tunnel = TUNNEL


def proxy_before_silent_handshake(server: RudeServer) -> None:
    server.tunnel, server.handshakes = TUNNEL, False


def itself(_: RudeServer) -> None:
    """Nothing is between."""


@asynccontextmanager
async def left_at_once(
    folder: Path, answer: bytes = b"", shape: Callable[[RudeServer], None] = itself
) -> AsyncIterator[tuple[RudeServer, Connection]]:
    """What the block gives up of the connection leaves the server at once, and afterwards no socket is open."""
    async with rude_server(folder, answer, shape) as (server, login):
        before = sockets()
        async with Connection(login) as connection:
            yield server, connection
            with anyio.fail_after(WATCHDOG_S):
                await server.left.wait()
        assert sockets() - before <= server.sockets


STAGES = [itself, silent_handshake, silent_proxy, proxy, proxy_before_silent_handshake]


@pytest.mark.parametrize("shape", STAGES, ids=lambda stage: stage.__name__)
@pytest.mark.parametrize("call", [READ, LARGE_WRITE], ids=["read", "large write"])
@pytest.mark.anyio
async def test_a_call_that_is_cancelled_leaves_its_server_at_once(
    tmp_path: Path, shape: Callable[[RudeServer], None], call: Call
) -> None:
    async with (
        left_at_once(tmp_path, shape=shape) as (server, connection),
        anyio.create_task_group() as asking,
    ):
        asking.start_soon(api_of(connection).json, call)
        await server.asked.wait()
        asking.cancel_scope.cancel()


@pytest.mark.anyio
async def test_an_answer_whose_reading_is_cancelled_leaves_its_server_at_once(tmp_path: Path) -> None:
    async with left_at_once(tmp_path, BEGUN) as (_, connection):
        response = await api_of(connection).open_stream(READ, total_s=60)
        with anyio.CancelScope() as reading:
            reading.cancel()
            await response.read()


@pytest.mark.anyio
async def test_a_watch_that_is_given_up_leaves_its_server_at_once(tmp_path: Path) -> None:
    event = b'{"type": "ADDED", "object": {"metadata": {"resourceVersion": "2"}}}\n'
    begun = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(event), event)
    async with (
        left_at_once(tmp_path, begun) as (_, connection),
        aclosing(events_after(api_of(connection), READ.path, {}, "1")) as events,
    ):
        await anext(events)


@pytest.mark.anyio
async def test_a_connection_that_is_not_used_again_is_closed_with_its_answer(tmp_path: Path) -> None:
    async with left_at_once(tmp_path, ENDED) as (_, connection):
        assert await api_of(connection).json(READ) == {}


@pytest.mark.parametrize("shape", STAGES, ids=lambda stage: stage.__name__)
@pytest.mark.anyio
async def test_nothing_is_left_where_the_connection_is_cancelled_with_its_call(
    tmp_path: Path, shape: Callable[[RudeServer], None]
) -> None:
    async with rude_server(tmp_path, shape=shape) as (server, login):
        before, left = sockets(), []

        async def use() -> None:
            try:
                async with Connection(login) as connection:
                    await connection.renew(connection.generation)
                    await api_of(connection).json(READ)
            finally:
                left.append(sockets() - before - server.sockets)

        async with anyio.create_task_group() as using:
            using.start_soon(use)
            await server.asked.wait()
            using.cancel_scope.cancel()
        assert left == [set()]


@pytest.mark.anyio
async def test_nothing_is_left_of_credentials_that_were_renewed(tmp_path: Path) -> None:
    async with rude_server(tmp_path, BEGUN) as (server, login):
        before = sockets()
        async with Connection(login) as connection:
            old = await api_of(connection).open_stream(READ, total_s=60)
            await connection.renew(connection.generation)
            new = await api_of(connection).open_stream(READ, total_s=60)
            assert len(server.sockets) == 2
        assert sockets() - before <= server.sockets
        for response in (old, new):
            response.close()
