"""Requests to the API server: one code path for all kinds.

A call survives transient failures: a server that restarts, a 429 with Retry-After, credentials that expire. Reads, and
writes that cannot have happened, are retried for `PATIENCE_S`; then `Unavailable`. A write whose answer was lost is
never repeated here, because it may have happened: the caller reads and decides. A refusal by an API server that is
still starting (its authorizer knows no roles for a moment) is verified. Streams are not repeated.
"""

import io
import json
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import anyio

from offbus_steps.kubernetes.rest.connection import Connection
from offbus_steps.kubernetes.rest.deep_json import parsed
from offbus_steps.kubernetes.rest.errors import error_of, status_in
from offbus_steps.kubernetes.rest.rate_limit import Pace
from offbus_steps.port import Forbidden, Object, PortError, Unavailable
from offbus_steps.text_lines import PLAIN, LineTooLong, whole_of

if TYPE_CHECKING:
    import aiohttp

__all__ = ["LARGEST_ANSWER", "Answer", "Api", "Call", "TooLarge"]

PATIENCE_S = 20.0
"""How long a call is retried: enough for two restarts of an API server (about 5 s each, reference/real-cluster.md)."""
ATTEMPT_S = 30.0
"""For one attempt: the server's own limit for plain requests is 60 s."""
CONNECT_S = 5.0
LARGEST_ANSWER = 256 << 20
"""Bytes, of the API server: a page of a list is the largest. Logs and answers through its proxy have their own."""
BUFFERED_OF_OTHERS = 1 << 16
"""Bytes; of the API server, kubernetes_asyncio lets aiohttp buffer 2 MiB."""
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
LARGE = 1 << 20
KEEPALIVE = (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))
"""A stream on a connection that died silently is noticed after 25 s."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request. `path` is already quoted."""

    method: str
    path: str
    params: Mapping[str, str] | None = None
    body: Any = None
    content_type: str = "application/json"
    headers: Mapping[str, str] | None = None

    def __str__(self) -> str:
        return f"{self.method} {self.path.partition('?')[0]}"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, read whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def error(self, call: Call) -> PortError:
        """The error that a refusal means."""
        return error_of(self.status, status_in(self.body), self.headers.get("Retry-After"), str(call))


class TooLarge(PortError):
    """Raised for an answer of more bytes than asked for. It is not read on, and not asked for again."""


class NeverSent(Unavailable):
    """Raised when no connection was made: nothing can have happened."""


@dataclass(frozen=True, slots=True)
class Api:
    """One API server."""

    connection: Connection
    pace: Pace

    async def json(self, call: Call) -> Object:
        """The object in the answer. Raises PortError."""
        return _object_in(call, await self.ask(call), json.loads)

    async def listed(self, call: Call, most: int) -> tuple[Object, int]:
        """The list in an answer of so many bytes at most, without what it nests too deeply, and its bytes.

        Raises PortError, TooLarge.
        """
        answer = await self.ask(call, most)
        return _object_in(call, answer, parsed), len(answer.body)

    async def ask(self, call: Call, most: int = LARGEST_ANSWER) -> Answer:
        """The answer to a call, of so many bytes at most, with retries. Raises PortError, also for a refusal."""
        until = anyio.current_time() + PATIENCE_S
        pause, verified = FIRST_PAUSE, False
        while True:
            generation = self.connection.generation
            try:
                await self.pace.take()
                answer = await _read(call, await self._send(call, ATTEMPT_S), most)
                if answer.status < 400:
                    return answer
                raise answer.error(call)
            except Forbidden as err:
                if verified:
                    raise
                verified = True
                await self._verify_denied(err, generation, until)
            except Unavailable as err:
                rest = max(pause, err.after.total_seconds())
                # writes only when they cannot have happened
                repeatable = (
                    call.method == "GET" or isinstance(err, NeverSent) or err.evidence.get("status") == 429
                )
                if not repeatable or anyio.current_time() + rest > until:
                    raise
                await anyio.sleep(rest)
                pause = min(pause * 2, LONGEST_PAUSE)

    async def open_stream(self, call: Call, *, total_s: float) -> "aiohttp.ClientResponse":
        """An answer whose body is not read yet; the caller closes it. Raises PortError, also for a refusal."""
        until = anyio.current_time() + PATIENCE_S
        generation = self.connection.generation
        try:
            return await self._opened(call, total_s)
        except Forbidden as err:
            await self._verify_denied(err, generation, until)
        return await self._opened(call, total_s)

    @asynccontextmanager
    async def raw(self, call: Call, *, total_s: float | None) -> "AsyncIterator[aiohttp.ClientResponse]":
        """Any answer, without retries and rate limit: for proxies. Raises Unavailable when there is none.

        It is somebody else's: asked for uncompressed, and never decompressed. Failures while the caller reads the body
        are raised as aiohttp's errors.
        """
        response = await self._send(call, total_s, others=True)
        try:
            yield response
        finally:
            response.close()

    async def ready(self) -> bool:
        """Whether the API server is ready; this needs no permission."""
        try:
            async with self.raw(Call("GET", "/readyz"), total_s=CONNECT_S) as answer:
                return answer.status == 200
        except Unavailable:
            return False

    async def _opened(self, call: Call, total_s: float) -> "aiohttp.ClientResponse":
        await self.pace.take()
        try:
            with anyio.fail_after(
                ATTEMPT_S
            ):  # `total_s` is for the body: a server that works answers at once
                response = await self._send(call, total_s)
        except TimeoutError as err:
            raise _lost(call, err) from err
        if response.status < 400:
            return response
        raise (await _read(call, response)).error(call)

    async def _verify_denied(self, err: Forbidden, generation: int, until: float) -> None:
        """Verify a refusal that may be transient: expired credentials, or a server that is still starting."""
        if err.evidence.get("status") == 401:
            await self.connection.renew(generation)
            return
        pause = FIRST_PAUSE
        while not await self.ready():
            if anyio.current_time() + pause > until:
                raise Unavailable(f"the API server is not ready: {err.message}") from err
            await anyio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _send(
        self, call: Call, total_s: float | None, *, others: bool = False
    ) -> "aiohttp.ClientResponse":
        """The head of an answer, of the API server or, through it, of `others`."""
        import aiohttp
        from yarl import URL

        url = f"{self.connection.server}{call.path}"
        if call.params:
            url += ("&" if "?" in call.path else "?") + urlencode(call.params)
        headers = {**await self.connection.headers(), "Accept": "application/json", **(call.headers or {})}
        if others:
            headers |= PLAIN
        data: bytes | io.BytesIO | None = None
        if call.body is not None:
            data = json.dumps(call.body).encode()
            if (
                len(data) > LARGE
            ):  # aiohttp writes bytes in one piece, and warns about many: those go as a file
                data = io.BytesIO(data)
            headers["Content-Type"] = call.content_type
        bound = aiohttp.ClientTimeout(total=total_s, connect=CONNECT_S)
        try:
            response = await self.connection.session.request(
                call.method,
                URL(url, encoded=True),
                data=data,
                headers=headers,
                timeout=bound,
                allow_redirects=False,
                auto_decompress=not others,
                read_bufsize=BUFFERED_OF_OTHERS if others else None,
                **self.connection.routing,
            )
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as err:
            raise NeverSent(f"{call}: cannot connect to the API server: {err}") from err
        except (aiohttp.ClientError, TimeoutError, OSError) as err:
            raise _lost(call, err) from err
        _keep_alive(response)
        return response


def _object_in(call: Call, answer: Answer, read: Callable[[bytes], Any]) -> Object:
    try:
        found: Object = read(answer.body)
    except RecursionError as err:
        raise PortError(f"{call}: the answer is nested too deeply to be read") from err
    except ValueError as err:
        raise PortError(f"{call}: the answer is not JSON: {answer.body[:200]!r}") from err
    return found


async def _read(call: Call, response: "aiohttp.ClientResponse", most: int = LARGEST_ANSWER) -> Answer:
    import aiohttp

    try:
        body = await whole_of(response.content.iter_any(), most)
        return Answer(response.status, response.headers, body)
    except LineTooLong as err:
        raise TooLarge(f"{call}: the answer of the API server has more than {most} bytes") from err
    except (aiohttp.ClientError, TimeoutError, OSError) as err:
        raise _lost(call, err) from err
    finally:
        response.release()


def _lost(call: Call, err: Exception) -> Unavailable:
    return Unavailable(f"{call}: the API server did not answer: {str(err) or type(err).__name__}")


def _keep_alive(response: "aiohttp.ClientResponse") -> None:
    """Enable TCP keep-alive, by which the kernel notices a dead peer; small answers are complete already."""
    transport = response.connection.transport if response.connection else None
    sock = transport.get_extra_info("socket") if transport else None
    if sock is None or sock.family == socket.AF_UNIX:
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEPALIVE:
        option = getattr(socket, name, None)  # Linux only: other platforms have other names
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
