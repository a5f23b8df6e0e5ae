"""The node agent's HTTP server in this process: its own uvicorn, application and agent on a node that is a folder.

Only the transport is ours: bytes go in, and what the application answers is seen where it says so (ASGI), because a
body may spell a status line. Tasks of a connection end before the next one begins.
"""

import asyncio
import socket
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from offbus_agent.agent import NodePaths, open_agent
from offbus_agent.faults.policy import Policy
from offbus_agent.faults.store import Store
from offbus_agent.http.token import TokenFile
from offbus_agent.program import _Server
from tests.kits.agent.node_world import Node

__all__ = ["answers"]

TURNS = 20
"""Of the loop, for what a part of the input makes it do; a request may wait for the rest of itself."""
P = ParamSpec("P")
T = TypeVar("T")
ANSWERED_S = 60
"""A watchdog: none waits for anything but a fault, and there is none."""


def answers(data: bytes) -> list[tuple[str, int]]:
    """The method and status of each request that the application answered on a connection that sends this."""
    return _served().connection(data)


async def _inline(func: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """No thread: a connection is given turns of the loop, not time."""
    return func(*args, **kwargs)


class _Served:
    def __init__(self) -> None:
        self._place = tempfile.TemporaryDirectory(prefix="offbus-fuzz-")
        node = Node(Path(self._place.name) / "node")
        node.state.parent.mkdir(parents=True)
        store = Store(node.state, "boot")
        store.load()
        place = NodePaths("node-1", node.root, node.kmsg, node.state)
        agent = open_agent(place, Policy(), store, in_thread=_inline)
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(self._complain)
        self._complaints: list[dict[str, Any]] = []
        self._answered: list[tuple[str, int]] = []
        with socket.socket(socket.AF_UNIX) as unused:
            server = _Server(agent, TokenFile(node.token_file), unused, None)
        self._config, self._state = server.config, server.server_state
        self._config.load()
        self._application: Any = self._config.loaded_app
        self._config.loaded_app = self._seen

    def connection(self, data: bytes) -> list[tuple[str, int]]:
        self._answered = []
        self._loop.run_until_complete(self._play(data))
        assert not self._complaints, self._complaints
        return self._answered

    async def _play(self, data: bytes) -> None:
        make: Any = self._config.http_protocol_class
        protocol = make(config=self._config, server_state=self._state, app_state={}, _loop=self._loop)
        transport = _Transport()
        protocol.connection_made(transport)
        for at in range(0, len(data), 4096):
            if not transport.is_closing():
                protocol.data_received(data[at : at + 4096])
                await self._settle()
        await self._settle()
        protocol.connection_lost(None)
        if self._state.tasks:
            _, waiting = await asyncio.wait(self._state.tasks, timeout=ANSWERED_S)
            assert not waiting, "a request is not answered"

    async def _settle(self) -> None:
        for _ in range(TURNS):
            await asyncio.sleep(0)
            if not self._state.tasks:
                return

    async def _seen(self, scope: Any, receive: Any, send: Any) -> None:
        async def told(message: Any) -> None:
            if message["type"] == "http.response.start":
                self._answered.append((scope["method"], message["status"]))
            await send(message)

        await self._application(scope, receive, told)

    def _complain(self, _loop: Any, context: dict[str, Any]) -> None:
        self._complaints.append(context)


class _Transport(asyncio.Transport):
    """Takes what is written, and gives nothing back."""

    def __init__(self) -> None:
        super().__init__()
        self._closing = False

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        self._closing = True

    abort = close

    def write(self, data: Any) -> None:
        """To nobody."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def pause_reading(self) -> None:
        """There is nothing to pause."""

    resume_reading = pause_reading

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing is buffered."""


@cache
def _served() -> _Served:
    return _Served()
