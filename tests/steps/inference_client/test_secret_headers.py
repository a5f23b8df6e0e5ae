"""Headers are sent, only those that may be; what a target sends back of a secret is not told."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx
import pytest
from pydantic import ValidationError

from offbus.errors import StepError
from offbus.masking import HIDDEN, Masking
from offbus.secret import Secret
from offbus_sandbox.adapter.traffic import LocalTraffic
from offbus_sandbox.layout import Layout
from offbus_steps.inference.headers import sent
from offbus_steps.inference.step_types import AskParams
from offbus_steps.inference_client.requests import Question, ask, model_of
from offbus_steps.port import PortError, Ref

pytestmark = pytest.mark.anyio

TARGET = Ref("Deployment", "target", "drill")
VALUE = "planted-secret-" + "x" * 90
"""Longer than what messages cut answers to."""
MASKING = Masking()
MASKING.learn(VALUE)
QUESTION = Question("m", "p", 1, stream=False, headers={"x-api-key": VALUE}, hide=MASKING.text)


@pytest.fixture
def anyio_backend() -> str:
    """The adapter runs on asyncio."""
    return "asyncio"


@asynccontextmanager
async def echoing(
    folder: Path, status: int, wrapped: str
) -> AsyncIterator[tuple[LocalTraffic, int, list[str]]]:
    """A target that sends the key back which it was sent, and all heads of requests that it got."""
    heads: list[str] = []

    async def talk(client: anyio.abc.SocketStream) -> None:
        async with client:
            head = (await client.receive()).decode()
            heads.append(head)
            key = next((line[11:] for line in head.split("\r\n") if line.lower().startswith("x-api-key")), "")
            body = wrapped.replace("KEY", key)
            await client.send(
                f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode()
            )

    layout = Layout.of(folder)
    layout.make()
    where = layout.endpoints(TARGET.namespace, TARGET.name)
    where.write_text(json.dumps({"services": {"target": [{"ip": "127.0.0.1"}]}, "frontends": ["target"]}))
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    try:
        async with listener, anyio.create_task_group() as tasks, httpx.AsyncClient(trust_env=False) as client:
            tasks.start_soon(listener.serve, talk)
            port: int = listener.extra(anyio.abc.SocketAttribute.local_port)  # noqa: S610  anyio's, not Django's
            traffic = LocalTraffic(client, None, layout)  # type: ignore[arg-type]  # objects are only read for pods
            yield traffic, port, heads
            tasks.cancel_scope.cancel()
    finally:
        layout.forget_alias()


@pytest.mark.parametrize(
    ("status", "wrapped"),
    [
        (401, "the key KEY is wrong"),
        (500, "a" * 190 + "KEY"),
        (200, "no json: KEY"),
        (200, '{"error": {"message": "KEY"}}'),
        (200, "a" * 95 + "KEY"),
    ],
)
async def test_what_a_target_sends_back_of_a_secret_is_not_told(
    tmp_path: Path, status: int, wrapped: str
) -> None:
    async with echoing(tmp_path, status, wrapped) as (traffic, port, heads):
        asked = await ask(traffic, TARGET, port, QUESTION, 20)
        assert f"x-api-key: {VALUE}" in heads[0]
        assert VALUE[:12] not in asked.why
        assert HIDDEN[:5] in asked.why


async def test_a_list_of_models_is_asked_with_the_headers_and_tells_no_secret(tmp_path: Path) -> None:
    async with echoing(tmp_path, 200, '{"data": "KEY"}') as (traffic, port, heads):
        with pytest.raises(PortError) as caught:
            await model_of(traffic, TARGET, port, 20, QUESTION)
        assert VALUE[:12] not in caught.value.message
        assert VALUE in heads[0]


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "x"},
        {"Host": "x"},
        {"Impersonate-User": "admin"},
        {"X-Remote-User": "admin"},
        {"x-forwarded-for": "x"},
        {"X-Offbus-Token": "x"},
        {"x-a\r\nb": "x"},
        {"x-a": "b\r\nImpersonate-User: admin"},
        {"x-a": ""},
        {"content-length": "0"},
        {"x-a": "b "},
        {"x-a": " b"},
        {"x-a": " "},
    ],
)
def test_a_header_that_the_way_has_a_meaning_for_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="header"):
        AskParams(headers=headers)


@pytest.mark.parametrize("value", [" key-1", "key-1 ", " ", "key\t1", "key\n1", "clé-1"])
async def test_a_secret_that_no_header_can_have_is_our_error(value: str) -> None:
    class Reads:
        async def secret(self, _one: Secret) -> str:
            return value

    with pytest.raises(StepError, match="header 'x-key'") as caught:
        await sent(Reads(), {"x-key": Secret(secret="token")})  # type: ignore[arg-type]  # it asks for nothing else
    assert value.strip() == "" or value not in caught.value.message


def test_other_headers_may_be_sent() -> None:
    token = Secret(secret="token")
    assert (
        AskParams(headers={"X-Api-Key": token, "api-key": "a", "x-request-class": "b c"}).headers["X-Api-Key"]
        == token
    )
