"""What a target answers costs what its bytes on the wire cost, and holds nobody up, through either adapter."""

import gzip
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import anyio.lowlevel
import pytest
import yaml

from offbus_sandbox.adapter.traffic import LocalTraffic
from offbus_sandbox.adapter.unix_http import http_client
from offbus_sandbox.layout import Layout
from offbus_steps.inference_client.requests import MOST_VALUES, Asked, Question, ask
from offbus_steps.kubernetes.frontends import Frontends
from offbus_steps.kubernetes.rest.api import Api
from offbus_steps.kubernetes.rest.connection import Connection, Login
from offbus_steps.kubernetes.rest.rate_limit import Pace
from offbus_steps.kubernetes.traffic import KubernetesTraffic
from offbus_steps.port import LARGEST_ANSWER, LARGEST_STREAM, LONGEST_LINE, Ref, Traffic
from offbus_steps.text_lines import LEAST_LINE, LineTooLong, Room, lines_of, whole_of

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]

POD = Ref("Pod", "worker-0", "drill")
GOOD = {"choices": [{"finish_reason": "stop"}]}
GZIP = "Content-Encoding: gzip\r\n"


@pytest.fixture
def anyio_backend() -> str:
    """The adapters run on asyncio."""
    return "asyncio"


@dataclass
class Target:
    """An HTTP server that gives everybody the same answer."""

    body: bytes
    head: str = ""
    port: int = 0
    heads: list[str] = field(default_factory=list)
    """Of the requests."""

    async def talk(self, client: anyio.abc.SocketStream) -> None:
        async with client:
            self.heads.append((await client.receive()).decode().partition("\r\n\r\n")[0].lower())
            head = (
                f"HTTP/1.1 200 OK\r\n{self.head}Content-Length: {len(self.body)}\r\nConnection: close\r\n\r\n"
            )
            try:
                await client.send(head.encode() + self.body)
            except anyio.BrokenResourceError:
                return  # the reader gave up


@asynccontextmanager
async def serving(body: bytes, head: str = "") -> AsyncIterator[Target]:
    target = Target(body, head)
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, target.talk)
        target.port = listener.extra(anyio.abc.SocketAttribute.local_port)  # noqa: S610  anyio's, not Django's
        yield target
        tasks.cancel_scope.cancel()


@dataclass
class Cluster:
    """The connection to an API server, which is the target itself."""

    server: str
    session: aiohttp.ClientSession
    generation = 0
    routing: Mapping[str, Any] = field(default_factory=dict)

    async def headers(self) -> dict[str, str]:
        return {}


class Pods:
    """The objects of a local cluster: one pod."""

    async def get(self, _: Ref) -> dict[str, Any]:
        return {"status": {"podIP": "127.0.0.1"}}


@asynccontextmanager
async def local(_: Target, folder: Path) -> AsyncIterator[Traffic]:
    layout = Layout.of(folder)
    async with http_client(timeout=None) as client:
        yield LocalTraffic(client, Pods(), layout)  # type: ignore[arg-type]  # only asked for a pod
    layout.forget_alias()


@asynccontextmanager
async def kubernetes(target: Target, _: Path) -> AsyncIterator[Traffic]:
    async with aiohttp.ClientSession() as session:
        cluster: Any = Cluster(f"http://127.0.0.1:{target.port}", session)
        api = Api(cluster, Pace(qps=1000, burst=1000))
        yield KubernetesTraffic(api, Frontends(None))  # type: ignore[arg-type]  # a pod needs no look-up


both = pytest.mark.parametrize("adapter", [local, kubernetes])


async def asked(adapter: Any, target: Target, folder: Path, *, stream: bool, within_s: float = 50.0) -> Asked:
    async with adapter(target, folder) as traffic:
        found = await ask(traffic, POD, target.port, Question("m", "p", 1, stream), within_s)
        assert traffic._room.used == 0, "what was read is given back"
        return found


@both
@pytest.mark.parametrize("stream", [False, True])
async def test_no_compressed_answer_is_asked_for(adapter: Any, tmp_path: Path, stream: bool) -> None:
    body = f"data: {json.dumps(GOOD)}\n\n" if stream else json.dumps(GOOD)
    async with serving(body.encode()) as target:
        assert (await asked(adapter, target, tmp_path, stream=stream)).outcome.good
    (head,) = target.heads
    assert [line for line in head.splitlines() if line.startswith("accept-encoding")] == [
        "accept-encoding: identity"
    ]


@both
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "inside", [json.dumps(GOOD).encode(), b"\n" * (64 << 20), b"data: " + b"x" * (64 << 20)]
)
async def test_an_answer_that_comes_compressed_is_broken(
    adapter: Any, tmp_path: Path, stream: bool, inside: bytes
) -> None:
    async with serving(gzip.compress(inside, 1), GZIP) as target:
        found = await asked(adapter, target, tmp_path, stream=stream)
    assert not found.outcome.good
    assert "Content-Encoding 'gzip', which was not asked for" in found.why


@both
async def test_an_answer_that_says_that_it_is_not_encoded_is_good(adapter: Any, tmp_path: Path) -> None:
    async with serving(json.dumps(GOOD).encode(), "content-encoding: Identity\r\n") as target:
        assert (await asked(adapter, target, tmp_path, stream=False)).outcome.good


TOO_MUCH = {
    "a body": (b" " * (LARGEST_ANSWER + 1), False, f"a body did not end within {LARGEST_ANSWER} bytes"),
    "a line": (b"x" * (LONGEST_LINE + 1), True, f"a line did not end within {LONGEST_LINE} bytes"),
    "a line that ends": (
        b"x" * (LONGEST_LINE + 1) + b"\n",
        True,
        f"a line did not end within {LONGEST_LINE}",
    ),
    "a stream": (
        b"\n" * (LARGEST_STREAM // LEAST_LINE + 1),
        True,
        f"a stream did not end within {LARGEST_STREAM} bytes",
    ),
    "values": (b"[" + b"[]," * 300_000 + b"1]", False, "the answer is not JSON"),
    "an event": (b"data: [" + b"[]," * (MOST_VALUES // 2) + b"1]\n\n", True, "an event is not JSON"),
}


@both
@pytest.mark.parametrize(("body", "stream", "why"), TOO_MUCH.values(), ids=TOO_MUCH)
async def test_what_is_too_much_is_broken(
    adapter: Any, tmp_path: Path, body: bytes, stream: bool, why: str
) -> None:
    async with serving(body) as target:
        found = await asked(adapter, target, tmp_path, stream=stream)
    assert not found.outcome.good
    assert why in found.why


@both
async def test_a_long_answer_is_good(adapter: Any, tmp_path: Path) -> None:
    event = json.dumps({"choices": [{"delta": {"content": "é" * 10_000}, "finish_reason": "stop"}]})
    async with serving(f"data: {event}\n\n".encode() * 200) as target:
        assert (await asked(adapter, target, tmp_path, stream=True)).outcome.good


class Turns:
    """How often another task had its turn."""

    count = 0

    async def take(self, cancel_after: int = 0, scope: anyio.CancelScope | None = None) -> None:
        while True:
            await anyio.lowlevel.checkpoint()
            self.count += 1
            if scope is not None and self.count == cancel_after:
                scope.cancel()


async def at_once(body: bytes) -> AsyncIterator[bytes]:
    yield body


BODIES = {"line feeds": b"\n" * (1 << 20), "lines": b"data: x\n" * (1 << 17), "one line": b"x" * (1 << 20)}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
async def test_other_tasks_run_while_lines_are_read_that_came_at_once(body: bytes) -> None:
    turns = Turns()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(turns.take)
        assert sum([len(line) + 1 async for line in lines_of(at_once(body))]) >= len(body)
        tasks.cancel_scope.cancel()
    assert turns.count >= 10


async def test_who_reads_lines_that_came_at_once_can_be_cancelled() -> None:
    turns, read = Turns(), 0
    async with anyio.create_task_group() as tasks:
        with anyio.CancelScope() as scope:
            tasks.start_soon(turns.take, 5, scope)
            async for _ in lines_of(at_once(b"\n" * (8 << 20))):
                read += 1
        tasks.cancel_scope.cancel()
    assert scope.cancelled_caught
    assert 0 < read < 1 << 20


async def test_bodies_in_flight_share_one_room() -> None:
    room = Room(100)

    async def body(size: int) -> AsyncIterator[bytes]:
        for _ in range(size):
            yield b"x"

    async def held() -> AsyncIterator[bytes]:
        yield b"x" * 60
        with pytest.raises(LineTooLong, match="the answers in flight do not fit into 100 bytes"):
            await whole_of(body(41), room=room)
        assert len(await whole_of(body(40), room=room)) == 40
        assert room.used == 60

    assert len(await whole_of(held(), room=room)) == 60
    assert room.used == 0


async def test_the_line_that_has_not_ended_is_in_the_room() -> None:
    room = Room(100)
    lines = lines_of(at_once(b"a\n" + b"x" * 101), room=room)
    assert await anext(lines) == "a"
    with pytest.raises(LineTooLong, match="do not fit"):
        await anext(lines)
    assert room.used == 0
    assert [line async for line in lines_of(at_once(b"x" * 100 + b"\n" + b"y" * 100), room=room)] == [
        "x" * 100,
        "y" * 100,
    ]


COOKIES = "".join(f"Set-Cookie: c{number}=x; Path=/\r\n" for number in range(20))


def written(kubeconfig: Path, server: str) -> Login:
    cluster = {"clusters": [{"name": "c", "cluster": {"server": server}}]}
    user = {"users": [{"name": "u", "user": {"token": "t"}}]}
    context = {"contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}], "current-context": "x"}
    kubeconfig.write_text(
        yaml.safe_dump({"apiVersion": "v1", "kind": "Config", **cluster, **user, **context})
    )
    return Login(str(kubeconfig))


async def test_a_cookie_of_a_target_is_not_sent_to_the_api_server(tmp_path: Path) -> None:
    """A jar ignores servers without a name."""
    async with serving(b"{}", COOKIES) as target:
        login = written(tmp_path / "kubeconfig", f"http://localhost:{target.port}")
        async with Connection(login) as connection:
            traffic = KubernetesTraffic(api := Api(connection, Pace(1000, 1000)), Frontends(None))  # type: ignore[arg-type]
            for _ in range(2):
                await ask(traffic, POD, target.port, Question("m", "p", 1, stream=False), 20)
            assert await api.ready()
            assert not len(connection.session.cookie_jar)
    assert len(target.heads) == 3
    assert not [head for head in target.heads if "\ncookie:" in head]


async def test_a_client_of_a_sandbox_keeps_no_cookies() -> None:
    async with serving(b"{}", COOKIES) as target, http_client() as client:
        for _ in range(2):
            await client.get(f"http://localhost:{target.port}/")
        assert not list(client.cookies.jar)
    assert not [head for head in target.heads if "\ncookie:" in head]
