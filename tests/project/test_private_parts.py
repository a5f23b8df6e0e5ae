"""Private parts of libraries (docs/decisions/0014-private-parts.md): each is as we use it.

A test that fails here after an upgrade says which part changed, who uses it, and what to do.
"""

import ast
import asyncio
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from importlib.metadata import requires, version
from io import StringIO
from pathlib import Path
from typing import Any

import aiohttp
import httpcore
import httpx
import pytest
import uvicorn
from packaging.requirements import Requirement
from rich.console import Console
from rich.control import Control
from rich.live import Live
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

from offbus_agent.http.connections import connection_of, protocol
from offbus_agent.http.uvicorn_server import OwnSignals
from offbus_sandbox.adapter.unix_http import no_tls, unix_transport
from offbus_steps.kubernetes.rest.abort_on_close import Abrupt, end_at_once
from offbus_steps.kubernetes.rest.connection import Connection, Login
from offbus_steps.kubernetes.webhook.certificate import new_identity
from tests.kits import REPOSITORY
from tests.kits.private_parts import (
    ABORT,
    CONNECTION,
    CONNECTIONS,
    LEAN,
    LIBRARIES,
    LIVE,
    SERVER,
    UNIX,
    changed,
    relied_on,
    run,
)

PAGE = (REPOSITORY / "docs" / "decisions" / "0014-private-parts.md").read_text(encoding="utf-8")


def bounds() -> dict[str, Requirement]:
    """Our direct dependencies with an upper bound."""
    found = [Requirement(one) for one in requires("offbus") or ()]
    return {one.name: one for one in found if any(part.operator == "<" for part in one.specifier)}


def test_the_libraries_have_an_upper_bound_and_the_installed_version_is_within() -> None:
    assert set(bounds()) == {*LIBRARIES.values(), "httpcore"}  # a pool of it replaces httpx's
    beyond = {
        one.name: version(one.name) for one in bounds().values() if version(one.name) not in one.specifier
    }
    assert not beyond, f"pyproject.toml does not allow what is installed here: {beyond}"


@pytest.mark.parametrize("module", LIBRARIES)
def test_a_module_that_uses_private_parts_says_so_and_stands_in_the_decision(module: str) -> None:
    docstring = ast.get_docstring(ast.parse((REPOSITORY / module).read_text("utf-8"))) or ""
    assert "0014" in docstring, (
        f"{module}: say why there is no public way, what is used, and what happens without it"
    )
    assert f"`{module}`" in PAGE


ALONE = """
import sys
from offbus_steps.kubernetes.rest.lean_client import client
client()
loaded = [one for one in sys.modules if one.startswith("kubernetes_asyncio")]
print("all of it" if loaded else "parts")
"""


def test_kubernetes_asyncio_s_parts_are_loaded_alone() -> None:
    part = (
        "the import of client.configuration, client.api_client and config without the package's API classes"
    )
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, timeout=60)
    assert done.stdout == "parts\n", changed(LEAN, part) + done.stderr


KUBECONFIG = """
current-context: x
contexts: [{name: x, context: {cluster: x, user: x}}]
clusters: [{name: x, cluster: {server: "https://127.0.0.1:1", tls-server-name: other, proxy-url: "http://127.0.0.1:2"}}]
users: [{name: x, user: {token: secret}}]
"""


def test_kubernetes_asyncio_s_session_routing_and_token_are_found(tmp_path: Path) -> None:
    (tmp_path / "config").write_text(KUBECONFIG)

    async def look() -> tuple[Any, ...]:
        async with Connection(Login(str(tmp_path / "config"))) as connection:
            return connection.session, connection.routing, await connection.headers()

    with relied_on(
        CONNECTION, "ApiClient.rest_client, with pool_manager, proxy, proxy_headers and server_hostname"
    ):
        session, routing, headers = run(look())
    assert isinstance(session, aiohttp.ClientSession), changed(CONNECTION, "rest_client.pool_manager")
    wanted = {"proxy": "http://127.0.0.1:2", "server_hostname": "other"}
    assert {key: str(routing[key]) for key in wanted if key in routing} == wanted, changed(
        CONNECTION, "rest_client's proxy or server_hostname"
    )
    assert headers.get("Authorization") == "Bearer secret", changed(CONNECTION, 'the key "BearerToken"')


@contextmanager
def listening(family: socket.AddressFamily, address: Any) -> Iterator[socket.socket]:
    with socket.socket(family) as sock:
        sock.bind(address)
        sock.listen()
        yield sock


@asynccontextmanager
async def half_answering(sock: socket.socket) -> AsyncIterator[None]:
    """A server for one client, which gets half an answer; at its end the client must have gone."""
    gone = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\no")
        with suppress(ConnectionError):
            await reader.read()
            writer.close()
            await writer.wait_closed()
        gone.set()

    async with await asyncio.start_server(serve, sock=sock):
        yield
        await gone.wait()


class Ending(asyncio.Transport):
    def __init__(self, real: asyncio.Transport) -> None:
        super().__init__()
        self._real = real
        self.how: list[str] = []

    def close(self) -> None:
        self.how.append("close")
        self._real.close()

    def abort(self) -> None:
        self.how.append("abort")
        self._real.abort()


def test_aiohttp_s_connector_makes_its_protocols_by_its_factory() -> None:
    async def protocol() -> tuple[bool, Any, list[str]]:
        with listening(socket.AF_INET, ("127.0.0.1", 0)) as sock:
            async with half_answering(sock), aiohttp.ClientSession() as session:
                had = hasattr(session.connector, "_factory")
                end_at_once(session)
                answer = await session.get("http://{}:{}".format(*sock.getsockname()))
                made: Any = answer.connection and answer.connection.protocol
                made.transport = ending = Ending(made.transport)
                answer.close()
                return had, made, ending.how

    with relied_on(ABORT, "client_proto.ResponseHandler"):
        had, made, how = run(protocol())
    assert had, changed(ABORT, "the connector's _factory")
    assert isinstance(made, Abrupt), changed(ABORT, "that the connector's _factory makes each protocol")
    assert how[:1] == ["abort"], changed(ABORT, "ResponseHandler.close, called for what is not used again")


def test_httpx_s_transport_sends_by_its_pool(tmp_path: Path) -> None:
    async def status() -> int:
        path = tmp_path / "s"
        with listening(socket.AF_UNIX, str(path)) as sock:
            client = httpx.AsyncClient(transport=unix_transport(path), trust_env=False)
            async with half_answering(sock), client, client.stream("GET", "http://x/") as answer:
                return answer.status_code

    pool = getattr(httpx.AsyncHTTPTransport(verify=no_tls()), "_pool", None)
    assert isinstance(pool, httpcore.AsyncConnectionPool), changed(UNIX, "AsyncHTTPTransport._pool")
    with relied_on(UNIX, "that AsyncHTTPTransport sends its requests by its _pool"):
        assert run(status()) == 200


def quiet() -> uvicorn.Config:
    return uvicorn.Config(Starlette(), log_config=None, lifespan="off", ws="none")


class Brief(OwnSignals):
    """Ends once it is started, and keeps who had SIGTERM then."""

    handler: Any = "never started"

    def on_started(self) -> None:
        self.handler = signal.getsignal(signal.SIGTERM)
        self.stop()


def test_uvicorn_s_server_captures_signals_and_starts_by_methods_that_can_be_overridden() -> None:
    assert hasattr(uvicorn.Server, "capture_signals"), changed(SERVER, "Server.capture_signals")
    before, server = signal.getsignal(signal.SIGTERM), Brief(quiet())
    with listening(socket.AF_INET, ("127.0.0.1", 0)) as sock, relied_on(SERVER, "Server.startup(sockets)"):
        run(server.serve(sockets=[sock]))
    assert server.handler != "never started", changed(SERVER, "that Server.serve calls Server.startup")
    assert server.handler == before, changed(
        SERVER, "that Server.serve takes signals by Server.capture_signals alone"
    )


def test_uvicorn_s_server_speaks_tls_by_the_context_of_its_config() -> None:
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE

    async def cipher() -> Any:
        with listening(socket.AF_INET, ("127.0.0.1", 0)) as sock:
            server = OwnSignals(quiet(), new_identity(["x"]).context)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(server.serve(sockets=[sock]))
                _, writer = await asyncio.open_connection(*sock.getsockname(), ssl=trusting)
                writer.close()
                server.stop()
                return writer.get_extra_info("cipher")

    with relied_on(SERVER, "Config.ssl, set after Config.load()"):
        assert run(cipher())


class Open:
    """An ASGI application that keeps the states of its requests."""

    def __init__(self) -> None:
        self.states: list[dict[str, Any]] = []

    async def __call__(self, scope: Any, _receive: Any, send: Any) -> None:
        self.states.append(scope["state"])
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})


def test_uvicorn_s_connections_can_be_a_subclass_that_passes_itself_on() -> None:
    async def ask(app: Open) -> None:
        with listening(socket.AF_INET, ("127.0.0.1", 0)) as sock:
            config = uvicorn.Config(app, log_config=None, lifespan="off", ws="none", http=protocol())
            server = OwnSignals(config)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(server.serve(sockets=[sock]))
                host, port = sock.getsockname()
                async with httpx.AsyncClient(trust_env=False) as client:
                    await client.get(f"http://{host}:{port}/")
                server.stop()

    app = Open()
    with relied_on(CONNECTIONS, "H11Protocol, its app_state, loop, transport and handle_events"):
        run(ask(app))
    (state,) = app.states
    assert connection_of({"state": state}), changed(CONNECTIONS, "that app_state is each request's state")
    assert hasattr(H11Protocol, "handle_events"), changed(CONNECTIONS, "H11Protocol.handle_events")


def test_rich_s_live_begins_with_moving_the_cursor() -> None:
    console = Console(file=StringIO(), force_terminal=True, legacy_windows=False)
    assert not hasattr(Live, "_size_before"), changed(LIVE, "that Live has no attribute _size_before")
    with relied_on(LIVE, "Live.process_renderables"):
        live = Live(console=console, get_renderable=lambda: "x", auto_refresh=False)
        found = live.process_renderables([])
    assert isinstance(found[0], Control), changed(LIVE, "that process_renderables begins with a Control")
    assert len(found) == 2, changed(LIVE, "that process_renderables returns a Control and the frame")
