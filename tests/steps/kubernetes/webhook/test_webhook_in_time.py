"""The admission webhook's end, on virtual time, with a review that does not arrive whole."""

import asyncio
import socket
import ssl
from datetime import timedelta

import anyio
import pytest

from offbus_agent.http.listen import listen_tcp
from offbus_steps.kubernetes.webhook import server as webhook
from offbus_steps.kubernetes.webhook.certificate import LIFETIME, new_identity
from tests.kits.virtual_time import in_virtual_asyncio_time

TICK_S = 0.1
"""uvicorn's own: how often it looks whether it should end."""


@pytest.mark.timer("steps/offbus_steps/kubernetes/webhook/server.py")
@in_virtual_asyncio_time
async def test_a_review_that_does_not_arrive_whole_holds_its_end_up_for_a_bounded_time() -> None:
    server = webhook._Server(new_identity(["x"]))
    with listen_tcp("127.0.0.1", 0) as listening:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve, [listening])
            writer = await begun_review(listening)
            while not server.server_state.tasks:  # noqa: ASYNC110  uvicorn tells nobody; this is virtual time
                await anyio.sleep(TICK_S)
            told = anyio.current_time()
            server.stop()
    writer.close()
    assert webhook.GRACE_S <= anyio.current_time() - told <= webhook.GRACE_S + 3 * TICK_S


@pytest.mark.timer("steps/offbus_steps/kubernetes/webhook/server.py")
@in_virtual_asyncio_time
async def test_it_ends_well_before_its_certificate() -> None:
    server = webhook._Server(new_identity(["x"]))
    webhook._end_in_time(server)
    await anyio.sleep(timedelta(days=292).total_seconds() - 1)
    assert not server.should_exit
    await anyio.sleep(2)
    assert server.should_exit
    assert timedelta(days=292) < LIFETIME


async def begun_review(listening: socket.socket) -> asyncio.StreamWriter:
    """A review of which only the head comes."""
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    host, port = listening.getsockname()
    _, writer = await asyncio.open_connection(host, port, ssl=trusting)
    writer.write(b"POST /load HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n")
    return writer
