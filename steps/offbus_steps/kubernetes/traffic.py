"""Traffic to targets through the API server's proxy, streamed. A failure of the path is never the target's failure.

Load above 20 requests/s belongs inside the cluster: each request here passes through the API server. The run's rate
limit on API calls does not apply to them, because waiting would be measured as latency.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from offbus_steps.kubernetes.frontends import Frontends
from offbus_steps.kubernetes.rest.api import Api, Call
from offbus_steps.kubernetes.rest.proxy import Broken, Proxied, breaking, proxied_answer, whose_break
from offbus_steps.port import (
    LARGEST_ANSWER,
    LARGEST_STREAM,
    LARGEST_TOGETHER,
    LONGEST_LINE,
    PortError,
    Ref,
    StreamingReply,
    Traffic,
    Unavailable,
)
from offbus_steps.text_lines import LineTooLong, Room, lines_of, whole_of

__all__ = ["KubernetesTraffic"]


@dataclass(frozen=True, slots=True)
class KubernetesTraffic(Traffic):
    """See `offbus_steps.port.Traffic`."""

    api: Api
    frontends: Frontends
    _room: Room = field(default_factory=lambda: Room(LARGEST_TOGETHER), init=False)

    @asynccontextmanager
    async def exchange(
        self,
        to: Ref,
        method: str,
        path: str,
        *,
        port: int,
        json: Any,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[StreamingReply]:
        """One request, and its answer."""
        try:
            call = Call(method, await self.frontends.path(to, port, path), body=json, headers=headers)
            async with proxied_answer(self.api, call, to) as answer:
                yield KubernetesReply(self.api, to, answer, self._room)
        except Unavailable:
            raise
        except Broken as err:
            raise await whose_break(self.api, err, to) from err
        except PortError:
            self.frontends.forget(to)
            raise


class KubernetesReply(StreamingReply):
    """See `offbus_steps.port.StreamingReply`."""

    def __init__(self, api: Api, to: Ref, answer: Proxied, room: Room) -> None:
        self.status = answer.response.status
        self.headers: Mapping[str, str] = dict(answer.response.headers)
        self._api = api
        self._to = to
        self._answer = answer
        self._room = room

    async def lines(self) -> AsyncGenerator[str, None]:
        """The body's lines as they arrive."""
        body = self._answer.body
        chunks = self._answer.response.content.iter_any() if body is None else _at_once(body)
        found = lines_of(chunks, longest=LONGEST_LINE, most=LARGEST_STREAM, room=self._room)
        try:
            with breaking():
                async with aclosing(found):
                    async for line in found:
                        yield line
        except Broken as err:
            raise await whose_break(self._api, err, self._to) from err
        except LineTooLong as err:
            raise PortError(f"{self._to}: {err}") from err

    async def read(self) -> bytes:
        """The whole body."""
        if self._answer.body is not None:
            return self._answer.body
        try:
            with breaking():
                chunks = self._answer.response.content.iter_any()
                return await whole_of(chunks, LARGEST_ANSWER, room=self._room)
        except Broken as err:
            raise await whose_break(self._api, err, self._to) from err
        except LineTooLong as err:
            raise PortError(f"{self._to}: {err}") from err


async def _at_once(body: bytes) -> AsyncIterator[bytes]:
    yield body
