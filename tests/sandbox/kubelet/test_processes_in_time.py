"""Programs of the sandbox that do not answer, do not get ready or do not end: how long they are waited for, on virtual
time. Sockets are silent and processes deaf to SIGTERM, so that nothing but the clock decides."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from starlette.applications import Starlette

from offbus.errors import CouldNotRun
from offbus_sandbox.adapter.port import ANSWERS_WITHIN_S, LocalPort
from offbus_sandbox.adapter.traffic import LocalTraffic
from offbus_sandbox.adapter.wire import AGENT_PATH
from offbus_sandbox.api.agents import LONGEST_S, AgentProxy
from offbus_sandbox.api.server import LAST_REQUESTS_S, Server, listen
from offbus_sandbox.config import SandboxConfig
from offbus_sandbox.kubelet.addresses import Addresses
from offbus_sandbox.kubelet.host import Host
from offbus_sandbox.kubelet.kubelet import LAST_GRACE_S, Kubelet
from offbus_sandbox.layout import Layout
from offbus_sandbox.local import launch as starting
from offbus_sandbox.processes import service, survey
from offbus_sandbox.processes.child import Child, Command
from offbus_sandbox.processes.ending import end_all, marked
from offbus_sandbox.processes.table import MARK
from offbus_sandbox.store.store import Store
from offbus_sandbox.supervisor.disarm import WITHIN_S, disarm_all
from offbus_steps.port import Object, PortError, Ref, Unavailable
from tests.kits.sandbox.local_cluster import SLEEP, pod
from tests.kits.virtual_time import in_virtual_asyncio_time, in_virtual_time, meanwhile


@contextmanager
def silent(path: Path) -> Iterator[None]:
    """A server whose socket takes requests that nobody answers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        yield


@pytest.fixture
def short(tmp_path: Path) -> Layout:
    """A layout of which nothing runs."""
    layout = Layout.of(tmp_path)
    layout.make()
    layout.token.write_text("token")
    return layout


@pytest.mark.timer("sandbox/offbus_sandbox/supervisor/disarm.py")
@in_virtual_asyncio_time
async def test_agents_that_do_not_answer_hold_the_end_up_for_a_bounded_time(short: Layout) -> None:
    with silent(short.agent("node-1")), silent(short.agent("node-3")):
        await disarm_all(short, ["node-1", "node-2", "node-3"])
    assert anyio.current_time() == WITHIN_S, "all are asked at once"


@pytest.mark.timer("sandbox/offbus_sandbox/adapter/port.py")
@in_virtual_asyncio_time
async def test_a_supervisor_that_does_not_answer_is_unavailable(short: Layout) -> None:
    with silent(short.api):
        async with LocalPort(short.api) as port:
            with pytest.raises(Unavailable):
                await port.objects.get(Ref("Node", "node-1"))
    assert anyio.current_time() == ANSWERS_WITHIN_S


@asynccontextmanager
async def pipe() -> AsyncIterator[tuple[int, int]]:
    reader, writer = os.pipe()
    try:
        yield reader, writer
    finally:
        os.close(reader)
        os.close(writer)


@pytest.mark.timer("sandbox/offbus_sandbox/processes/service.py")
@pytest.mark.parametrize(("told_at", "ready"), [(29.5, True), (30.5, False)])
@in_virtual_time
async def test_a_program_is_waited_for_until_it_is_ready_and_no_longer(told_at: float, ready: bool) -> None:
    async with pipe() as (reader, writer), meanwhile((told_at, lambda: os.write(writer, b"\n"))):
        assert await service.is_ready(reader) is ready
        assert anyio.current_time() == min(told_at, service.READY_WITHIN_S)


@pytest.mark.timer("sandbox/offbus_sandbox/local/launch.py")
@in_virtual_time
async def test_a_supervisor_is_waited_for_until_it_is_ready_and_no_longer() -> None:
    async with pipe() as (reader, writer), meanwhile((59.5, lambda: os.write(writer, b'{"ready": true}\n'))):
        assert await starting.heard_in_time(reader) == {"ready": True}
        assert anyio.current_time() == 59.5
    async with pipe() as (reader, _writer):
        assert await starting.heard_in_time(reader) is None
        assert anyio.current_time() == 59.5 + starting.READY_WITHIN_S


@pytest.mark.timer("sandbox/offbus_sandbox/local/launch.py")
@in_virtual_time
async def test_a_start_that_was_cancelled_waits_for_the_supervisor_to_be_up_or_gone(short: Layout) -> None:
    async with pipe() as (reader, _writer):
        await starting.end_unready(short, reader)
    assert anyio.current_time() == starting.GONE_WITHIN_S


@pytest.mark.timer("sandbox/offbus_sandbox/api/agents.py")
@in_virtual_asyncio_time
async def test_an_agent_that_hangs_is_given_up_by_the_proxy(short: Layout) -> None:
    proxy = AgentProxy(short, ["node-1"])
    app = httpx.ASGITransport(app=Starlette(routes=[proxy.route()]))
    with silent(short.agent("node-1")):
        async with httpx.AsyncClient(transport=app, base_url="http://local", timeout=None) as client:  # noqa: S113
            answer = await client.get(AGENT_PATH.format(node="node-1", path="health"))
        await proxy.aclose()
    assert (answer.status_code, anyio.current_time()) == (503, LONGEST_S)


class Slow(httpx.AsyncByteStream):
    """A body that comes a byte a second."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            await anyio.sleep(1)
            yield b"."


@pytest.mark.timer("steps/offbus_steps/port.py")
@in_virtual_time
async def test_a_request_to_a_target_is_bounded_as_a_whole(short: Layout, store: Store) -> None:
    endpoints = short.endpoints("drill", "web")
    endpoints.parent.mkdir(parents=True, exist_ok=True)
    endpoints.write_text('{"frontends": ["web"], "services": {"web": [{"ip": "127.0.0.1"}]}}')
    slow = httpx.MockTransport(lambda _request: httpx.Response(200, stream=Slow()))
    traffic = LocalTraffic(httpx.AsyncClient(transport=slow), None, short)  # type: ignore[arg-type]  # asked for pods
    with pytest.raises(PortError, match="within 13 s"):
        async with traffic.stream(
            Ref("Deployment", "web", "drill"), "GET", "/", port=80, timeout=13
        ) as reply:
            await reply.read()
    assert anyio.current_time() == 13


@pytest.mark.timer("sandbox/offbus_sandbox/api/server.py")
@in_virtual_asyncio_time
async def test_requests_that_do_not_end_hold_a_server_up_for_a_bounded_time(tmp_path: Path) -> None:
    asked = anyio.Event()

    async def hangs(_scope: Any, _receive: Any, _send: Any) -> None:
        asked.set()
        await anyio.sleep_forever()

    server = Server(hangs)
    with listen(tmp_path / "s") as listening, socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tmp_path / "s"))
        client.send(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve, [listening])
            await asked.wait()
            server.stop()
            told = anyio.current_time()
    looks_every_s = 0.1  # uvicorn's own
    assert LAST_REQUESTS_S <= anyio.current_time() - told <= LAST_REQUESTS_S + 2 * looks_every_s


STUBBORN = """
import signal, sys
from pathlib import Path
from offbus.journal.lock import FileLock
signal.signal(signal.SIGTERM, signal.SIG_IGN)
FileLock(Path(sys.argv[1]), "it").acquire()
print("holds", flush=True)
signal.pause()
"""


@contextmanager
def stubborn(layout: Layout) -> Iterator[None]:
    """A process of the sandbox that holds its lock and ends for nothing but SIGKILL."""
    argv = [sys.executable, "-c", STUBBORN, str(layout.lock)]
    env = {**os.environ, MARK: layout.id}
    with subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"holds\n"
        yield
        assert process.wait() == -signal.SIGKILL


@pytest.mark.timer("sandbox/offbus_sandbox/local/launch.py", "sandbox/offbus_sandbox/processes/survey.py")
@in_virtual_time
async def test_a_supervisor_that_does_not_end_when_asked_is_given_its_time_and_killed(short: Layout) -> None:
    with stubborn(short):
        await starting.stop(short)
        assert anyio.current_time() == starting.GONE_WITHIN_S + survey.GRACE_S


@pytest.mark.timer("sandbox/offbus_sandbox/processes/ending.py")
@in_virtual_time
async def test_processes_that_ignore_sigterm_are_killed_after_their_grace(short: Layout) -> None:
    with stubborn(short):
        await end_all(lambda: marked(short.id), grace_s=7.5)
        assert anyio.current_time() == 7.5


@pytest.fixture
def deaf() -> Iterator[None]:
    """Processes that are started ignore SIGTERM from their first instruction on."""
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGTERM, before)


def command(layout: Layout) -> Command:
    return Command(SLEEP, dict(os.environ), layout.logs / "deaf.log", layout.root)


@pytest.mark.timer("sandbox/offbus_sandbox/processes/child.py")
@pytest.mark.usefixtures("deaf")
@in_virtual_asyncio_time
async def test_a_child_that_ignores_sigterm_is_killed_after_its_grace(short: Layout) -> None:
    status = await Child(command(short), short.processes).end(3.5)
    assert (status.code, anyio.current_time()) == (137, 3.5)


@pytest.mark.timer("sandbox/offbus_sandbox/processes/service.py")
@pytest.mark.usefixtures("deaf")
@in_virtual_asyncio_time
async def test_a_service_that_does_not_get_ready_is_ended_after_its_grace(short: Layout) -> None:
    with pytest.raises(CouldNotRun, match="it did not start"):
        await service.Service("it", command(short), short.processes).run()
    assert anyio.current_time() == service.READY_WITHIN_S + service.GRACE_S


@pytest.mark.timer("sandbox/offbus_sandbox/kubelet/kubelet.py")
@pytest.mark.usefixtures("deaf")
@in_virtual_asyncio_time
async def test_pods_have_less_grace_than_their_own_when_the_sandbox_ends(short: Layout, store: Store) -> None:
    short.node("node-1").mkdir()
    store.create(pod("p", SLEEP, nodeName="node-1", terminationGracePeriodSeconds=600))
    host = Host("node-1", short, SandboxConfig(), store, httpx.AsyncClient(), None)
    addresses, running = Addresses(store), anyio.Event()
    kubelet = Kubelet(host, addresses)
    store.listen(lambda change: running.set() if runs(change.object) else None)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(kubelet.run)
        await running.wait()
        await kubelet.stop()
        tasks.cancel_scope.cancel()
    addresses.close()
    assert anyio.current_time() == LAST_GRACE_S


def runs(one: Object) -> bool:
    return any("running" in status["state"] for status in one.get("status", {}).get("containerStatuses", ()))
