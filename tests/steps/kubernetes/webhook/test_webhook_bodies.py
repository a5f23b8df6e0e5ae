"""What unfinished reviews may hold together, and how long; an honest one is answered meanwhile."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from offbus_agent.http.listen import listen_tcp
from offbus_steps.kubernetes.webhook import server as webhook
from offbus_steps.kubernetes.webhook.bodies import BODY_S, LARGEST_REVIEW, TOGETHER, Bodies, TooLarge, TooSlow
from offbus_steps.kubernetes.webhook.certificate import new_identity
from offbus_steps.kubernetes.webhook.reviews import MOST_VALUES, reviewed
from offbus_steps.port import Invalid
from tests.kits.virtual_time import in_virtual_asyncio_time

PIECE = b"x" * (1 << 20)
REVIEW = {
    "request": {
        "uid": "u",
        "operation": "CREATE",
        "kind": {"kind": "Pod"},
        "object": {"spec": {"containers": [{"name": "main", "image": "x"}]}},
    }
}


async def stalled(pieces: int) -> AsyncIterator[bytes]:
    """A body that does not go on after so many pieces."""
    for _ in range(pieces):
        yield PIECE
    await anyio.sleep_forever()


async def in_pieces(body: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(body), 1000):
        yield body[at : at + 1000]


@in_virtual_asyncio_time
async def test_unfinished_bodies_hold_a_bounded_number_of_bytes_and_others_are_read() -> None:
    bodies, most = Bodies(), 0
    ended: list[str] = []

    async def read() -> None:
        try:
            await bodies.read(stalled(3))
        except (TooLarge, TooSlow) as err:
            ended.append(type(err).__name__)

    async with anyio.create_task_group() as tasks:
        for _ in range(100):
            tasks.start_soon(read)
            await anyio.sleep(0.001)
            most = max(most, bodies.held)
        assert await bodies.read(in_pieces(b"y" * 100_000)) == b"y" * 100_000
    assert TOGETHER - 3 * len(PIECE) <= most <= TOGETHER
    assert len(ended) == 100
    assert bodies.held == 0


@pytest.mark.timer("steps/offbus_steps/kubernetes/webhook/bodies.py")
@in_virtual_asyncio_time
async def test_a_body_has_its_time() -> None:
    with pytest.raises(TooSlow, match=f"within {BODY_S:g} s"):
        await Bodies().read(stalled(1))
    assert anyio.current_time() == BODY_S


@in_virtual_asyncio_time
async def test_a_body_has_a_length() -> None:
    with pytest.raises(TooLarge, match=f"more than {LARGEST_REVIEW} bytes"):
        await Bodies().read(stalled(LARGEST_REVIEW // len(PIECE) + 1))


def test_a_review_of_very_many_values_is_not_parsed() -> None:
    with pytest.raises(Invalid, match=f"more than {MOST_VALUES} values"):
        reviewed(b"[" + b"[]," * MOST_VALUES + b"1]", {})


@asynccontextmanager
async def served() -> AsyncIterator[tuple[str, int]]:
    server = webhook._Server(new_identity(["x"]))
    with listen_tcp("127.0.0.1", 0) as listening:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve, [listening])
            yield listening.getsockname()
            server.stop()


@in_virtual_asyncio_time
async def test_a_server_full_of_unfinished_reviews_answers_the_next() -> None:
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    writers = []

    async def begun(length: int, body: bytes) -> asyncio.StreamReader:
        reader, writer = await asyncio.open_connection(host, port, ssl=trusting)
        head = f"POST /load HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        writers.append(writer)
        return reader

    async with served() as (host, port):
        stuck = [await begun(LARGEST_REVIEW, PIECE * 3) for _ in range(TOGETHER // len(PIECE) // 2)]
        review = json.dumps(REVIEW).encode()
        answer = await (await begun(len(review), review)).read()
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert {(await one.readline()).split()[1] for one in stuck} <= {b"408", b"413"}
    for writer in writers:
        writer.close()
