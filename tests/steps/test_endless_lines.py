"""A peer that sends a line or a body without an end has failed, at every reader; a real server sends it."""

import json
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import anyio
import httpx
import pytest

from offbus_sandbox.adapter.objects import LocalObjects
from offbus_sandbox.adapter.traffic import LocalReply
from offbus_sandbox.workload.endpoints import Endpoints, EndpointsFile
from offbus_sandbox.workload.relay import BrokenError, Exchange, Relay
from offbus_steps.kubernetes.agents import KubernetesAgents
from offbus_steps.kubernetes.objects import KubernetesObjects
from offbus_steps.kubernetes.rest.api import Call
from offbus_steps.kubernetes.rest.discovery import ServedKinds
from offbus_steps.kubernetes.rest.proxy import Proxied, proxied_answer
from offbus_steps.kubernetes.traffic import KubernetesReply
from offbus_steps.port import PortError, Ref, Unavailable
from offbus_steps.text_lines import LONGEST, Room
from tests.kits.steps.timed_api import Answer, agents_pod, agents_set, answering

pytestmark = pytest.mark.anyio

POD = Ref("Pod", "worker-0", "drill")
CALL = Call("GET", "/proxied")
SAID = "did not end within"


@pytest.fixture
def anyio_backend() -> str:
    """The adapters run on asyncio."""
    return "asyncio"


@asynccontextmanager
async def endless() -> AsyncIterator[int]:
    """The port of a server that answers everybody with a line longer than `LONGEST`."""

    async def talk(client: anyio.abc.SocketStream) -> None:
        async with client:
            await client.receive()
            await client.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
            try:
                for _ in range(LONGEST // 65536 + 1):
                    await client.send(b"x" * 65536)
            except anyio.BrokenResourceError:
                return  # the reader gave up

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, talk)
        yield listener.extra(anyio.abc.SocketAttribute.local_port)  # noqa: S610  anyio's, not Django's
        tasks.cancel_scope.cancel()


async def test_a_target_of_a_local_cluster() -> None:
    async with (
        endless() as port,
        httpx.AsyncClient(trust_env=False) as client,
        client.stream("GET", f"http://127.0.0.1:{port}/") as answer,
    ):
        with pytest.raises(PortError, match=SAID):
            await anext(LocalReply(POD, answer, Room(LONGEST)).lines())


async def test_the_body_of_a_target_of_a_local_cluster() -> None:
    async with (
        endless() as port,
        httpx.AsyncClient(trust_env=False) as client,
        client.stream("GET", f"http://127.0.0.1:{port}/") as answer,
    ):
        with pytest.raises(PortError, match=SAID):
            await LocalReply(POD, answer, Room(LONGEST)).read()


async def test_the_body_of_a_target_behind_the_api_server() -> None:
    async with (
        endless() as port,
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}/") as answer,
    ):
        reply = KubernetesReply(None, POD, Proxied(answer, None), Room(LONGEST))  # type: ignore[arg-type]  # not asked
        with pytest.raises(PortError, match=SAID):
            await reply.read()


async def test_a_refusal_of_a_target_that_does_not_say_how_long_it_is(tmp_path: Path) -> None:
    """It is read as far as an API server's own answer can reach: then it is the target's."""
    headers = {"content-type": "application/json"}
    refusal = Answer(500, {"message": "x" * LONGEST}, headers, measured=False)
    async with answering(tmp_path, lambda _: refusal) as (api, _), proxied_answer(api, CALL, POD) as answer:
        assert answer.body is not None
        assert len(answer.body) < LONGEST / 8
        assert (await KubernetesReply(api, POD, answer, Room(LONGEST)).read()).startswith(b'{"message": "xxx')


async def test_an_answer_of_an_agent(tmp_path: Path) -> None:
    namespace = "/api/v1/namespaces/offbus-system"
    listed = {"items": [agents_pod("n")], "metadata": {"resourceVersion": "1"}}
    answers = {
        f"GET {namespace}/pods?": Answer(body=listed),
        "GET /apis/apps/v1/namespaces/offbus-system/daemonsets": Answer(body={"items": [agents_set()]}),
        f"GET {namespace}/secrets/": Answer(body={"data": {"token": b64encode(b"t").decode()}}),
        f"GET {namespace}/pods/": Answer(body="x" * LONGEST, measured=False),
    }

    def says(call: str) -> Answer:
        return next(answer for start, answer in answers.items() if call.startswith(start))

    async with answering(tmp_path, says) as (api, _):
        agents = KubernetesAgents(api, KubernetesObjects(api, ServedKinds(api)), "offbus-system")
        with pytest.raises(Unavailable, match=SAID):
            await agents.request("n", "GET", "/health", timeout=60)


async def test_the_supervisor_s_watch() -> None:
    async with endless() as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        with pytest.raises(Unavailable, match=SAID):
            await anext(LocalObjects(client).watch("Pod", resource_version="1"))


@pytest.mark.parametrize("read_before", [True, False])
async def test_a_target_behind_the_api_server(read_before: bool) -> None:
    async with (
        endless() as port,
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}/") as answer,
    ):
        body = await answer.read() if read_before else None
        reply = KubernetesReply(None, POD, Proxied(answer, body), Room(LONGEST))  # type: ignore[arg-type]  # not asked
        with pytest.raises(PortError, match=SAID):
            await anext(reply.lines())


async def test_a_worker_of_the_frontend(tmp_path: Path) -> None:
    async with endless() as port:
        file = tmp_path / "endpoints"
        worker = {"pod": "worker-0", "ip": "127.0.0.1", "port": port}
        file.write_text(json.dumps({"services": {"worker": [worker]}}))
        relay = Relay(Endpoints(EndpointsFile(file), workers=["worker"], own="frontend"))
        with pytest.raises(BrokenError, match=SAID):
            await anext(relay.stream(Exchange("/v1/completions", b"{}", "r1", migrations_left=0)))
        await relay.close()
