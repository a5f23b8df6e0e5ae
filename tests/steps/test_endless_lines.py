"""A peer that sends a line without an end has failed, at every reader of lines; a real server sends it."""

import json
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
from offbus_steps.kubernetes.rest.proxy import Proxied
from offbus_steps.kubernetes.traffic import KubernetesReply
from offbus_steps.port import PortError, Ref, Unavailable
from offbus_steps.text_lines import LONGEST

pytestmark = pytest.mark.anyio

POD = Ref("Pod", "worker-0", "drill")
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
            await anext(LocalReply(POD, answer).lines())


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
        reply = KubernetesReply(None, POD, Proxied(answer, body))  # type: ignore[arg-type]  # not asked
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
