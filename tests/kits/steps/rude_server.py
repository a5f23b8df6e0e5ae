"""A TLS server in this process that takes connections and never answers a farewell, as one that is busy or cut off.

What it does with a connection is a stage: where its client waits from then on, for ever.
"""

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import yaml
from anyio.abc import ByteStream, SocketAttribute, SocketStream
from anyio.streams.tls import TLSStream

from offbus_steps.kubernetes.rest.connection import Login
from offbus_steps.kubernetes.webhook.certificate import Identity, new_identity

__all__ = ["BEGUN", "ENDED", "TUNNEL", "RudeServer", "rude_server"]

NAME = "rude.example"
BEGUN = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nthe first of it"
ENDED = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
TUNNEL = b"HTTP/1.1 200 Connection established\r\n\r\n"


class RudeServer:
    """It says one thing to each who asks, or nothing (b""), and waits until the client has left."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.tunnel: bytes | None = None
        """As an HTTP proxy in front of itself: what it says to CONNECT. b"": nothing."""
        self.handshakes = True
        self.asked = anyio.Event()
        self.left = anyio.Event()
        self.sockets: set[int] = set()
        """Its side of the connections, by inode."""
        self._identity: Identity = new_identity([NAME])

    async def serve(self, stream: SocketStream) -> None:
        """One connection, from its begin until the client is gone."""
        self.sockets.add(inode(stream.extra_attributes[SocketAttribute.raw_socket]().fileno()))
        async with stream:
            await self._answered(stream)
            self.asked.set()
            await until_left(stream)
            self.left.set()

    async def _answered(self, stream: SocketStream) -> None:
        if self.tunnel is not None:
            await head(stream)
            await stream.send(self.tunnel)
        if self.tunnel == b"":
            return
        if not self.handshakes:
            await stream.receive()
            return
        context: ssl.SSLContext = self._identity.context
        tls = await TLSStream.wrap(stream, server_side=True, ssl_context=context, standard_compatible=False)
        await head(tls)
        await tls.send(self.answer)

    def login(self, folder: Path, port: int) -> Login:
        """The kubeconfig for it, which trusts it, and goes through it where it is a proxy, too."""
        authority = folder / "authority.pem"
        authority.write_text(self._identity.certificate)
        cluster: dict[str, Any] = {
            "server": f"https://127.0.0.1:{port}",
            "certificate-authority": str(authority),
            "tls-server-name": NAME,
        }
        if self.tunnel is not None:
            cluster["proxy-url"] = f"http://127.0.0.1:{port}"
        context = {"cluster": "rude", "user": "me"}
        written = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "rude", "cluster": cluster}],
            "users": [{"name": "me", "user": {"token": "t"}}],
            "contexts": [{"name": "rude", "context": context}],
            "current-context": "rude",
        }
        (folder / "kubeconfig").write_text(yaml.safe_dump(written))
        return Login(str(folder / "kubeconfig"))


@asynccontextmanager
async def rude_server(
    folder: Path, answer: bytes = b"", shape: Callable[[RudeServer], None] = lambda _: None
) -> AsyncIterator[tuple[RudeServer, Login]]:
    """The server, and who asks it."""
    server = RudeServer(answer)
    shape(server)
    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(listener.serve, server.serve)
        yield server, server.login(folder, listener.extra_attributes[SocketAttribute.local_port]())
        tasks.cancel_scope.cancel()


async def head(stream: ByteStream) -> None:
    """Read a request's head, and as little more as may be."""
    seen = b""
    while b"\r\n\r\n" not in seen:
        seen += await stream.receive()


async def until_left(stream: SocketStream) -> None:
    """The end of a connection, be it orderly or not; what comes before it is not looked at."""
    try:
        while True:
            await stream.receive()
    except (anyio.EndOfStream, anyio.BrokenResourceError):
        return


def inode(fd: int) -> int:
    return Path(f"/proc/self/fd/{fd}").stat().st_ino
