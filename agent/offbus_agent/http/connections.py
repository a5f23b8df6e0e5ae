"""Bounds on the agent's connections, so that nobody can keep a renew or a disarm out.

Job: a connection is a stranger's until a request on it has shown the node's token, and again once that request is
answered. Strangers may hold STRANGERS connections; one more ends the oldest of the peer address that has the most, so
that a peer with one connection (kubelet's probe) is not pushed out by a peer with many. What was sent on them is read
before: for a moment, twice as many may be open. A request with the token is never ended to make room. No connection
lasts without progress: the head of a request must arrive within HEAD_S, its body within BODY_S, and its answer must be
taken within ANSWER_S. A stranger's requests have a budget, too (`budget`). Whether a connection is served at all is
decided by its first head, before anything else is done for it: what is over the budget is answered with 429 and closed,
and so, with the agent's readiness, is a probe, whoever it comes from: one costs little more than the other.

A private part of uvicorn is used (decision 0014): its `H11Protocol` is extended by the methods that asyncio documents,
and passes itself to the application by `app_state`, the state of each request. uvicorn has a limit for all connections
together, none for their time, and none that spares a caller. Without this a few hundred idle connections would keep
every renew out. Its `handle_events` answers what is no HTTP with a body, also where none may be (after HEAD); what h11
raises then would be logged with a traceback for each such request.
"""

import asyncio
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from typing import Any, ClassVar, Protocol, cast

from h11 import LocalProtocolError
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from offbus_agent.http.budget import READY, Budget
from offbus_agent.http.token import TokenError, TokenFile
from offbus_agent.refusals import MEDIA_TYPE, problem

__all__ = [
    "AT_ONCE",
    "BODY_S",
    "HEAD_S",
    "PENDING",
    "STRANGERS",
    "TOO_MANY",
    "Connection",
    "bounded",
    "connection_of",
    "protocol",
]

STRANGERS = 24
"""How many connections to an agent may be open on which nobody has shown the token."""
AT_ONCE = 8
"""Connections that asyncio accepts in one go (its `backlog`), before it serves anybody else."""
PENDING = 256
"""Connections that the kernel lets wait to be accepted; more are refused, or tried again by the peer a second later.
So many are accepted and refused in some hundredths of a second: so long may an owner's connection wait."""
HEAD_S = 10.0
"""From the start of a connection, or the previous answer, to the end of a request's head."""
BODY_S = 10.0
"""From the end of the head to the end of the body; a longer one is answered with 408."""
ANSWER_S = 120.0
"""From the end of the head to the end of the answer: longer than any long poll, and any effect, takes."""
TOO_MANY = json.dumps(
    problem(429, "too_many_requests", "too many requests without the token", "wait, or show the token")
).encode()
"""The body of a 429 to a stranger."""
_CLOSING = b"HTTP/1.1 %d \r\ncontent-type: %s\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%s"
_PROBE = re.compile(rf"GET {READY} HTTP/1\.[01]\r?")
_HEAD_ENDS = re.compile(rb"\r?\n\r?\n")
_LONGEST_HEAD = 65536
"""As uvicorn reads it (h11_max_incomplete_event_size)."""
_TRIM_AFTER_S = 0.1


class Probed(Protocol):
    """What a probe asks."""

    async def answer(self) -> tuple[int, bytes]:
        """Status and body of the answer."""


class Strangers:
    """The connections of one server on which nobody has shown the token, oldest first, by peer address."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._by_peer: dict[str, dict[Connection, None]] = {}
        self._trim: asyncio.TimerHandle | None = None

    def add(self, connection: "Connection") -> None:
        """Add the newest one. If there are too many, the surplus is ended soon: what it has sent is read before."""
        self._by_peer.setdefault(connection.peer, {})[connection] = None
        if len(self) > 2 * self._most:
            self._end_oldest()
        elif len(self) > self._most and not self._trim:
            self._trim = connection.loop.call_later(_TRIM_AFTER_S, self._end_surplus)

    def remove(self, connection: "Connection") -> None:
        """Remove it, if it is here."""
        own = self._by_peer.get(connection.peer, {})
        own.pop(connection, None)
        if not own:
            self._by_peer.pop(connection.peer, None)

    def __len__(self) -> int:
        return sum(map(len, self._by_peer.values()))

    def _end_surplus(self) -> None:
        self._trim = None
        while len(self) > self._most:
            self._end_oldest()

    def _end_oldest(self) -> None:
        most = max(self._by_peer, key=lambda peer: len(self._by_peer[peer]))
        oldest = next(iter(self._by_peer[most]))
        self.remove(oldest)
        oldest.transport.abort()


class Connection(H11Protocol):
    """One connection of a server; see `protocol`."""

    strangers: ClassVar[Strangers]
    budget: ClassVar[Budget]
    token: ClassVar[TokenFile | None]
    ready: ClassVar[Probed | None]
    peer = ""
    """The other side's address; "" on a Unix socket."""
    lost = False
    _head: bytearray | None
    """What came before the connection was let in; None since then."""
    _paid = False
    """Its next request is counted already."""
    _deadline: asyncio.TimerHandle | None = None
    _read: asyncio.Task[Any] | None = None
    """What serves a stranger's request: it ends with the connection."""
    _probe: asyncio.Task[None] | None = None
    """What answers a probe."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.app_state = {**self.app_state, "connection": self}
        self._head = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        super().connection_made(cast("asyncio.Transport", transport))
        peer = transport.get_extra_info("peername")
        self.peer = str(peer[0]) if isinstance(peer, tuple) else ""
        self._must_end_within(HEAD_S)
        self.strangers.add(self)

    def data_received(self, data: bytes) -> None:
        """See asyncio. Nothing is parsed for a stranger that is over its budget."""
        if self._head is not None:
            seen = max(0, len(self._head) - 3)  # three bytes of its end may have come before
            self._head += data
            if not (end := _HEAD_ENDS.search(self._head, seen)) and len(self._head) < _LONGEST_HEAD:
                return
            data, self._head = bytes(self._head), None
            asked, *lines = data[: end.start() if end else 0].decode("latin-1").split("\n")
            if self.ready is not None and _PROBE.fullmatch(asked):
                self.transport.pause_reading()
                self._probe = self.loop.create_task(self._tell_ready(self.ready))
                return
            pairs = (line.partition(":") for line in lines)
            self._paid = self.may_ask({name.strip().lower(): value.strip() for name, _, value in pairs})
            if not self._paid:
                self._answer_and_close(429, MEDIA_TYPE, TOO_MANY)
                return
        super().data_received(data)

    async def _tell_ready(self, ready: Probed) -> None:
        status, body = await ready.answer()
        if not self.transport.is_closing():
            self._answer_and_close(status, "application/json", body)

    def _answer_and_close(self, status: int, media_type: str, body: bytes) -> None:
        self.transport.write(_CLOSING % (status, media_type.encode(), len(body), body))
        self.transport.close()

    def may_ask(self, headers: Mapping[str, str]) -> bool:
        """Whether a request is served: it shows the token, or there is room for a stranger's."""
        if self.token is None or self._paid:
            self._paid = False
            return True
        with suppress(TokenError):
            if self.token.admits(headers):
                return True
        return self.budget.take(self.peer)

    def handle_events(self) -> None:
        """What was received, as events; a connection with which h11 cannot go on is ended."""
        try:
            super().handle_events()
        except LocalProtocolError:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        self.strangers.remove(self)
        if self._deadline:
            self._deadline.cancel()
        super().connection_lost(exc)
        self.lost = True
        for task in (self._read, self._probe):
            if task:
                task.cancel()

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Around the answer to one request."""
        self._must_end_within(ANSWER_S)
        self._read = asyncio.current_task()
        try:
            yield
        finally:
            self._read = None
            if not self.transport.is_closing():
                self.strangers.remove(self)
                self.strangers.add(self)  # as the newest
            self._must_end_within(HEAD_S)

    def admit(self) -> None:
        """The request that is being served has shown the token: it is served to its end."""
        self.strangers.remove(self)
        self._read = None

    def _must_end_within(self, seconds: float) -> None:
        if self._deadline:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(seconds, self.transport.abort)


def protocol(
    most: int = STRANGERS, token: TokenFile | None = None, ready: Probed | None = None
) -> type[Connection]:
    """The connections of one server, for uvicorn's setting `http`, which is a class; its application is `bounded`.

    `most` may be strangers'. A server without a token has strangers alone: it ends them in the middle of a request, and
    counts no requests.
    """

    class Bounded(Connection):
        strangers = Strangers(most)

    Bounded.budget, Bounded.token, Bounded.ready = Budget(), token, ready
    return Bounded


def bounded(app: ASGIApp) -> ASGIApp:
    """The application that tells each request's connection when it is served."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        connection = connection_of(scope)

        async def answer(message: Message) -> None:
            if connection and connection.transport.is_closing():
                await asyncio.sleep(0)  # until uvicorn is told: then it drops what nobody takes
            await send(message)

        try:
            with connection.serving() if connection else nullcontext():
                over = connection is not None and not connection.may_ask(Headers(scope=scope))
                await (_too_many if over else app)(scope, receive, answer)
        except asyncio.CancelledError:
            if connection is None or not connection.lost:
                raise

    return serve


_too_many = Response(TOO_MANY, 429, {"connection": "close"}, MEDIA_TYPE)


def connection_of(scope: Any) -> Connection | None:
    """The connection of an ASGI scope; None where a request came without one (in tests, without a server)."""
    found = scope.get("state", {}).get("connection")
    return found if isinstance(found, Connection) else None
