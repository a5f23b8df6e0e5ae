"""A TCP relay before an API server that can drop connections as a load balancer does: without a word to either side.

A real socket on each side. What is dropped stays open, its peer's keep-alive probes are answered (by the kernel), and
whatever arrives on it is read and thrown away. Connections that are made later are relayed as before.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from tests.kits.kubernetes.lone_server import LoneServer

__all__ = ["SilentRelay", "relayed"]


class SilentRelay:
    """Relays to a port of this machine."""

    def __init__(self, to_port: int) -> None:
        self.port = 0
        self._to_port = to_port
        self._silent = asyncio.Event()
        self._writers: list[asyncio.StreamWriter] = []
        self._serving: list[asyncio.Task[None]] = []

    def drop(self) -> None:
        """Nothing more comes through the connections that are open now."""
        self._silent.set()
        self._silent = asyncio.Event()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until either side ends it."""
        self._serving.append(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        silent = self._silent
        there, here = await asyncio.open_connection("127.0.0.1", self._to_port)
        self._writers += [writer, here]
        with suppress(OSError):
            await asyncio.gather(_pass_on(reader, here, silent), _pass_on(there, writer, silent))

    async def end(self) -> None:
        """Close every connection."""
        for one in self._writers:
            one.close()
        await asyncio.gather(*self._serving, return_exceptions=True)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, silent: asyncio.Event) -> None:
    while data := await reader.read(65536):
        if not silent.is_set():
            writer.write(data)
            await writer.drain()
    if not silent.is_set():
        writer.close()


@asynccontextmanager
async def relayed(server: LoneServer, folder: Path) -> AsyncIterator[tuple[SilentRelay, Path]]:
    """A relay before the API server, and an administrator's kubeconfig that goes through it."""
    relay = SilentRelay(server.port)
    listening = await asyncio.start_server(relay.accept, "127.0.0.1", 0)
    relay.port = listening.sockets[0].getsockname()[1]
    kubeconfig = server.kubeconfig("admin", folder)
    kubeconfig.write_text(kubeconfig.read_text().replace(f":{server.port}", f":{relay.port}"))
    try:
        yield relay, kubeconfig
    finally:
        listening.close()
        await relay.end()
