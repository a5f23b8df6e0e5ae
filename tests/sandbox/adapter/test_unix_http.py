"""HTTP over a Unix socket: errors are httpx's, and a cancelled read gives nothing to the loop to complain about."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from offbus_sandbox.adapter.unix_http import unix_transport

pytestmark = pytest.mark.anyio

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.fixture
def anyio_backend() -> str:
    """Environments run on asyncio (design.md, section 4)."""
    return "asyncio"


@asynccontextmanager
async def served(path: Path, answer: bytes) -> AsyncIterator[list[asyncio.StreamWriter]]:
    """A server that begins an answer and keeps the connection; its connections."""
    connections: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        connections.append(writer)

    async with await asyncio.start_unix_server(serve, path):
        yield connections
        for writer in connections:
            writer.close()


@pytest.mark.parametrize("turns", range(4))
async def test_a_read_cancelled_while_something_arrives_is_nothing_to_complain_about(
    tmp_path: Path, turns: int
) -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: complaints.append(context))
    path = tmp_path / "s"
    async with (
        served(path, HEAD) as connections,
        client_of(path) as client,
        client.stream("GET", "http://x/") as answer,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(read, answer)
        await anyio.wait_all_tasks_blocked()
        connections[0].get_extra_info("socket")._sock.send(b"1\r\nx\r\n")
        for _ in range(turns):  # of the loop: in one of them the bytes are seen just before the cancellation
            await asyncio.sleep(0)
        tasks.cancel_scope.cancel()
    assert complaints == []


async def read(answer: httpx.Response) -> None:
    """Read for ever."""
    async for _ in answer.aiter_bytes():
        pass


@asynccontextmanager
async def client_of(path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a server."""
    async with httpx.AsyncClient(transport=unix_transport(path), timeout=10, trust_env=False) as client:
        yield client


async def test_a_server_that_is_not_there_is_a_connect_error(tmp_path: Path) -> None:
    async with client_of(tmp_path / "none") as client:
        with pytest.raises(httpx.ConnectError):
            await client.get("http://x/")


async def test_a_server_that_says_nothing_is_a_read_timeout(tmp_path: Path) -> None:
    path = tmp_path / "s"
    async with served(path, b""), client_of(path) as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.get("http://x/", timeout=0.05)


async def test_each_request_has_a_connection_of_its_own(tmp_path: Path) -> None:
    """A server may end a connection that is kept at the very moment at which the next request goes out on it."""
    path = tmp_path / "s"
    whole = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
    async with served(path, whole) as connections, client_of(path) as client:
        assert (await client.get("http://x/")).text == "ok"
        assert (await client.get("http://x/")).text == "ok"
        assert len(connections) == 2
