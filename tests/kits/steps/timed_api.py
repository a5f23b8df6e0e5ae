"""An API server in this process, on a Unix socket, for tests on the virtual time of asyncio: it answers what the test
says, or not at all. The client is the product's own, aiohttp included."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import anyio

from offbus_steps.kubernetes.rest.api import Api
from offbus_steps.kubernetes.rest.rate_limit import Pace

__all__ = ["Answer", "TimedServer", "agents_pod", "agents_set", "answering"]


@dataclass(frozen=True)
class Answer:
    """What comes back; of one that is not `whole`, the head alone. One that is not `measured` does not say how long it
    is: it ends with its connection."""

    status: int = 200
    body: Any = field(default_factory=dict)
    headers: Mapping[str, str] | None = None
    whole: bool = True
    measured: bool = True

    def encoded(self) -> bytes:
        body = b"" if self.body is None or not self.whole else json.dumps(self.body).encode()
        length = {"content-length": str(len(body))} if self.whole and self.measured else {}
        length |= {"connection": "close"} if self.whole else {}
        lines = [f"{key}: {value}" for key, value in {**length, **(self.headers or {})}.items()]
        return "\r\n".join([f"HTTP/1.1 {self.status} Told", *lines, "", ""]).encode() + body


Says = Callable[[str], Answer | None]
"""What "GET /path" is answered; None: nothing, ever."""


class TimedServer:
    """The connection to it, as `offbus_steps.kubernetes.rest.connection.Connection`, and when it was asked for what."""

    server = "http://api"
    generation = 0
    routing: Mapping[str, Any] = {}

    def __init__(self, says: Says) -> None:
        self.says = says
        self.asked: list[tuple[str, float]] = []
        self.heads: list[str] = []
        """The requests' heads."""
        self.silent: list[asyncio.StreamWriter] = []
        """Connections that nothing more comes through."""
        self.session: aiohttp.ClientSession

    async def headers(self) -> dict[str, str]:
        """It asks for no credentials."""
        return {}

    def times(self, call: str = "") -> list[float]:
        """When something was asked for whose line begins so."""
        return [round(at, 6) for one, at in self.asked if one.startswith(call)]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.heads.append(head)
        call = head.partition(" HTTP/")[0]
        self.asked.append((call, anyio.current_time()))
        answer = self.says(call)
        if answer is not None:
            writer.write(answer.encoded())
        if answer is None or not answer.whole:
            self.silent.append(writer)
        else:
            writer.close()


@asynccontextmanager
async def answering(folder: Path, says: Says) -> AsyncIterator[tuple[Api, TimedServer]]:
    """The server, and the product's client of it."""
    made: Any = TimedServer(says)
    serving = await asyncio.start_unix_server(made.serve, folder / "api")
    connector = aiohttp.UnixConnector(str(folder / "api"))
    try:
        async with aiohttp.ClientSession(connector=connector) as made.session:
            yield Api(made, Pace(qps=1000, burst=1000)), made
    finally:
        for writer in made.silent:
            writer.close()
        serving.close()


def agents_set() -> dict[str, Any]:
    """The agents' DaemonSet."""
    return {"metadata": {"name": "offbus-agent", "uid": "d-1"}}


def agents_pod(node: str) -> dict[str, Any]:
    """A pod of the agents' DaemonSet that is ready."""
    owner = {"apiVersion": "apps/v1", "kind": "DaemonSet", **agents_set()["metadata"], "controller": True}
    return {
        "metadata": {"name": f"offbus-agent-{node}", "uid": f"u-{node}", "ownerReferences": [owner]},
        "spec": {"nodeName": node},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    }
