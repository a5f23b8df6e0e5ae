"""The workload's bounds, on virtual time: workers that cannot be reached, and requests that do not end."""

import socket
from pathlib import Path
from typing import Any

import anyio
import pytest

from offbus_sandbox.workload import worker
from offbus_sandbox.workload.endpoints import Endpoints, EndpointsFile, Worker
from offbus_sandbox.workload.engine import Engine
from offbus_sandbox.workload.relay import CONNECT_S, Relay
from offbus_sandbox.workload.serving import Server
from tests.kits.full_server import full_server
from tests.kits.virtual_time import in_virtual_asyncio_time, meanwhile

LOOKS_EVERY_S = 0.1
"""uvicorn's own: how often it looks whether it should end."""
DRAIN_S = 20


@pytest.mark.timer("sandbox/offbus_sandbox/workload/relay.py")
@in_virtual_asyncio_time
async def test_a_worker_that_takes_no_connection_is_given_up(tmp_path: Path) -> None:
    relay = Relay(Endpoints(EndpointsFile(tmp_path / "none"), workers="w", own="f"))
    with full_server() as port:
        assert await relay.models_of(Worker(pod="w", ip="127.0.0.1", port=port)) is None
    await relay.close()
    assert anyio.current_time() == CONNECT_S


async def ended_at(stop: Any) -> float:
    """When a server ends that is stopped at 10 s, while a request does not end."""
    asked = anyio.Event()

    async def hangs(_scope: Any, _receive: Any, _send: Any) -> None:
        asked.set()
        await anyio.sleep_forever()

    server = Server(hangs, 0, drain_s=DRAIN_S)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.serve)
        while not server._server.started:  # noqa: ASYNC110  uvicorn tells nobody; this is virtual time
            await anyio.sleep(LOOKS_EVERY_S)
        with socket.create_connection(server._server.servers[0].sockets[0].getsockname()) as client:
            client.send(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            await asked.wait()
            begun = anyio.current_time()
            async with meanwhile((10, lambda: stop(server))):
                while server._server.server_state.tasks:  # noqa: ASYNC110  the same
                    await anyio.sleep(LOOKS_EVERY_S)
    return anyio.current_time() - begun - 10


@pytest.mark.timer("sandbox/offbus_sandbox/workload/serving.py")
@in_virtual_asyncio_time
async def test_requests_that_run_at_sigterm_have_the_drain_time_and_no_more() -> None:
    assert await ended_at(Server.stop) == pytest.approx(DRAIN_S, abs=4 * LOOKS_EVERY_S)


@pytest.mark.timer("sandbox/offbus_sandbox/workload/worker.py")
@in_virtual_asyncio_time
async def test_requests_that_a_cuda_error_broke_have_a_moment_to_be_told() -> None:
    engine = Engine(0.0)
    async with anyio.create_task_group() as tasks:

        def die(server: Server) -> None:
            tasks.start_soon(worker._stop_when_dead, engine, server)
            engine.died.set()

        assert await ended_at(die) == pytest.approx(worker.LAST_WORDS_S, abs=4 * LOOKS_EVERY_S)
