"""The node's events as a stream (server-sent events): what happens to any fault, as it happens.

Job: a reader is a cursor on one bounded history (offbus_agent.faults.event_log), so that a slow one costs nothing; what
it has missed is told (`gap`), and so is a restart of the agent. A reader that comes again says where it was
(`Last-Event-ID`). There are READERS at most, and each stream ends by itself before its connection would be ended
(offbus_agent.http.connections: ANSWER_S); clients of such streams connect again on their own.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress

from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from offbus_agent.faults.event_log import EventLog
from offbus_agent.http.connections import ANSWER_S
from offbus_agent.refusals import Refusal

__all__ = ["LASTS_S", "READERS", "EventStream"]

READERS = 8
"""At once."""
LASTS_S = ANSWER_S - 20.0
QUIET_S = 15.0
"""After which a comment is sent, so that both ends see that the other one is there."""
RETRY_MS = 1000
"""After which a client connects again."""


class EventStream:
    """The streams of one server."""

    def __init__(self, events: EventLog, readers: int = READERS, lasts_s: float = LASTS_S) -> None:
        self._events = events
        self._most = readers
        self._lasts_s = lasts_s
        self._readers = 0

    def open(self, last: str | None) -> Response:
        """A stream that goes on after the event `last`. Raises Refusal 429 when there are too many readers."""
        if self._readers >= self._most:
            what = f"{self._most} readers follow this node's events already, which is the most"
            raise Refusal(
                429, "too_many_readers", what, "end one of them, or ask again later", retry_after_s=5
            )
        self._readers += 1
        return _Stream(self._counted(last), self)

    def closed(self) -> None:
        """A stream has ended, whether anything was sent on it or not."""
        self._readers -= 1

    async def _counted(self, last: str | None) -> AsyncIterator[str]:
        yield f"retry: {RETRY_MS}\n\n"
        with suppress(TimeoutError):
            async with asyncio.timeout(self._lasts_s):
                async for text in self._texts(last):
                    yield text

    async def _texts(self, last: str | None) -> AsyncIterator[str]:
        history = self._events.history
        since, missed = history.resume(last)
        while True:
            if missed:
                yield _event("gap", {"why": missed}, history.mark(since))
            for number, fault, event in history.after(since):
                since = number
                yield _event(event.kind, {"fault": fault, **event.model_dump()}, history.mark(number))
            if not await history.more(since, QUIET_S):
                yield ": nothing new\n\n"
            since, missed = history.caught_up(since)


class _Stream(StreamingResponse):
    def __init__(self, content: AsyncIterator[str], stream: EventStream) -> None:
        super().__init__(content, headers={"Cache-Control": "no-store"}, media_type="text/event-stream")
        self._stream = stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._stream.closed()


def _event(kind: str, data: dict[str, object], mark: str) -> str:
    return f"event: {kind}\nid: {mark}\ndata: {json.dumps(data)}\n\n"
