"""HTTP of a sandbox's programs: `http_client(…)`, over a Unix socket with `transport=unix_transport(path)`.

The other side may be a pod, which is not trusted: no client keeps cookies, asks for compressed answers, or is led
elsewhere by the environment.

Over a Unix socket, httpx runs on asyncio's own streams.

httpx's own way goes through anyio's `UNIXSocketStream`, which sets the result of a future that a cancelled task has
just abandoned (anyio 4.16: `_RawSocketMixin._wait_until_readable`; its TCP streams, made of asyncio's transports, do
not): the loop then reports `InvalidStateError` whenever a watch is cancelled just as data arrives.
Errors are httpcore's, so httpx translates them as it does its own.

The only module that uses private parts of httpx (decision 0014), which has no parameter for httpcore's network backend:
`AsyncHTTPTransport._pool`, the pool of httpcore that carries the requests, is replaced by one of ours (httpcore's own
interface is public). If it changes, no client can reach the sandbox: every request is a ConnectError.

TLS is never spoken within a sandbox, so its clients load no certificates, which takes 30 ms each: `verify=no_tls()`.
"""

import asyncio
import select
import ssl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import httpcore
import httpx

from offbus_steps.text_lines import PLAIN

__all__ = ["http_client", "no_tls", "unix_transport"]

UNBOUNDED = httpx.Limits(max_connections=None, max_keepalive_connections=0)
"""A watch holds its connection open, so a pool must not bound their number. None is kept: a server ends an idle one at
any time, also while the next request goes out on it, and that one would fail although nothing is wrong."""


def no_tls() -> ssl.SSLContext:
    """For clients of plain HTTP only: it trusts no certificate, so none are loaded."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def http_client(**options: Any) -> httpx.AsyncClient:
    """A client with httpx's options; without a transport it speaks plain HTTP to any address."""
    if "transport" not in options:
        options["verify"] = no_tls()
    no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=()))
    headers = {**PLAIN, **options.pop("headers", {})}
    return httpx.AsyncClient(trust_env=False, cookies=no_cookies, headers=headers, **options)


def unix_transport(path: Path) -> httpx.AsyncHTTPTransport:
    """A transport to the server that listens on `path`."""
    unused = no_tls()
    transport = httpx.AsyncHTTPTransport(verify=unused, limits=UNBOUNDED)
    transport._pool = httpcore.AsyncConnectionPool(  # httpx has no parameter for httpcore's backend
        uds=str(path),
        ssl_context=unused,
        max_connections=UNBOUNDED.max_connections,
        max_keepalive_connections=UNBOUNDED.max_keepalive_connections,
        keepalive_expiry=UNBOUNDED.keepalive_expiry,
        network_backend=_Sockets(),
    )
    return transport


class _Sockets(httpcore.AsyncNetworkBackend):
    """Connects to Unix sockets, and to nothing else."""

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109  httpcore's interface
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        with _translated(httpcore.ConnectTimeout, httpcore.ConnectError), anyio.fail_after(timeout):
            return _Stream(*await asyncio.open_unix_connection(path))

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)


@dataclass(frozen=True, slots=True)
class _Stream(httpcore.AsyncNetworkStream):
    """One connection."""

    _reader: asyncio.StreamReader
    _writer: asyncio.StreamWriter

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        with _translated(httpcore.ReadTimeout, httpcore.ReadError), anyio.fail_after(timeout):
            return await self._reader.read(max_bytes)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        with _translated(httpcore.WriteTimeout, httpcore.WriteError), anyio.fail_after(timeout):
            self._writer.write(buffer)
            await self._writer.drain()

    async def aclose(self) -> None:
        self._writer.close()
        await (
            anyio.lowlevel.cancel_shielded_checkpoint()
        )  # the transport closes its socket in the loop's next iteration

    def get_extra_info(self, info: str) -> Any:
        """httpcore asks an idle connection whether the server has closed it (`is_readable`).

        The socket itself is polled: the event loop may not have noticed the close yet.
        """
        if info != "is_readable":
            return self._writer.get_extra_info(info)
        if self._reader.at_eof() or self._writer.is_closing():
            return True
        socket = select.poll()
        socket.register(self._writer.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(socket.poll(0))


@contextmanager
def _translated(late: type[Exception], broken: type[Exception]) -> Iterator[None]:
    try:
        yield
    except TimeoutError as err:
        raise late(str(err)) from err
    except OSError as err:
        raise broken(str(err)) from err
