"""What counts as a good answer, against a real server and through the real adapter."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx
import pytest

from offbus_sandbox.adapter.traffic import LocalTraffic
from offbus_sandbox.layout import Layout
from offbus_steps.inference_client.requests import Asked, Question, ask
from offbus_steps.port import Ref

pytestmark = pytest.mark.anyio

TARGET = Ref("Deployment", "target", "drill")
GOOD = {"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]}
CHUNK = {"choices": [{"delta": {"content": "hi"}, "finish_reason": None}]}
LAST = {"choices": [{"delta": {}, "finish_reason": "length"}]}
DIED = {"error": {"message": "Internal server error", "code": 500}}


@pytest.fixture
def anyio_backend() -> str:
    """The adapter runs on asyncio."""
    return "asyncio"


def http(body: str, status: int = 200, length: int | None = None) -> bytes:
    """A whole HTTP answer; a `length` longer than the body makes the connection break off."""
    size = len(body) if length is None else length
    return f"HTTP/1.1 {status} X\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n{body}".encode()


def sse(*events: object) -> str:
    """A stream of events."""
    return "".join(f"data: {one if isinstance(one, str) else json.dumps(one)}\n\n" for one in events)


@asynccontextmanager
async def serving(answer: bytes | None) -> AsyncIterator[int]:
    """A server that gives one answer to everybody; with None it reads and is silent."""

    async def talk(client: anyio.abc.SocketStream) -> None:
        async with client:
            await client.receive()
            if answer is None:
                await anyio.sleep_forever()
            await client.send(answer)

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, talk)
        yield listener.extra(anyio.abc.SocketAttribute.local_port)  # noqa: S610  anyio's, not Django's
        tasks.cancel_scope.cancel()


async def asked(folder: Path, port: int, *, stream: bool, within_s: float = 20.0) -> Asked:
    """One question through the local adapter."""
    layout = Layout.of(folder)
    layout.make()
    where = layout.endpoints(TARGET.namespace, TARGET.name)
    where.write_text(json.dumps({"services": {"target": [{"ip": "127.0.0.1"}]}, "frontends": ["target"]}))
    try:
        async with httpx.AsyncClient(trust_env=False) as client:
            traffic = LocalTraffic(client, None, layout)  # type: ignore[arg-type]  # objects are only read for pods
            return await ask(traffic, TARGET, port, Question("m", "p", 1, stream), within_s)
    finally:
        layout.forget_alias()


@pytest.mark.parametrize(
    ("answer", "stream", "why"),
    [
        (http(json.dumps(GOOD)), False, ""),
        (http(sse(CHUNK, LAST, "[DONE]")), True, ""),
        (http(sse(CHUNK, DIED, "[DONE]")), True, "error in the answer"),
        (http(sse(CHUNK, "[DONE]")), True, "without a finish_reason"),
        (http(sse(CHUNK), length=9999), True, "broke the connection"),
        (http("nonsense"), False, "not JSON"),
        (http("data: nonsense\n\n"), True, "not JSON"),
        (http("{}"), False, "no finish_reason"),
        (http(json.dumps(DIED)), False, "error in the answer"),
        (http(json.dumps(DIED), status=503), False, "HTTP 503"),
        (http(json.dumps(GOOD), length=9999), False, "broke the connection"),
        (b"", False, "broke the connection"),
    ],
    ids=[
        "good",
        "good stream",
        "worker died in the stream",
        "cut stream with a clean end",
        "broken stream",
        "no json",
        "no json in the stream",
        "empty",
        "error with 200",
        "503",
        "broken off",
        "hung up",
    ],
)
async def test_only_a_finished_answer_is_good(
    tmp_path: Path, answer: bytes, why: str, *, stream: bool
) -> None:
    async with serving(answer) as port:
        result = await asked(tmp_path, port, stream=stream)
    assert result.outcome.good is (why == "")
    assert why in result.why
    assert not result.outcome.path_error


async def test_silence_is_a_failed_request(tmp_path: Path) -> None:
    async with serving(None) as port:
        result = await asked(tmp_path, port, stream=False, within_s=0.2)
    assert not result.outcome.good
    assert "did not answer" in result.why


async def test_a_refused_connection_is_a_failed_request_and_no_path_error(tmp_path: Path) -> None:
    async with serving(None) as port:
        free = port
    result = await asked(tmp_path, free, stream=False)
    assert (result.outcome.good, result.outcome.path_error) == (False, False)
