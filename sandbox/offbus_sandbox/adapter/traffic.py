"""Traffic to the pods of a local cluster, straight to their loopback addresses.

A workload is reached as through a Service: its ready frontend pods in turn. When none is ready, the target has failed,
as a Service without endpoints refuses connections; only an endpoints file that cannot be read is a failure of the path.
"""

import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from json import loads
from typing import Any

import httpx

from offbus_sandbox.layout import Layout
from offbus_steps.port import (
    LARGEST_ANSWER,
    LARGEST_STREAM,
    LARGEST_TOGETHER,
    LONGEST_LINE,
    NotFound,
    Objects,
    PortError,
    Ref,
    StreamingReply,
    Traffic,
    Unavailable,
)
from offbus_steps.text_lines import LineTooLong, Room, encoding_of, lines_of, whole_of

__all__ = ["LocalTraffic"]


@dataclass(frozen=True, slots=True)
class LocalTraffic(Traffic):
    """See `offbus_steps.port.Traffic`."""

    client: httpx.AsyncClient
    """It keeps no connections."""
    objects: Objects
    layout: Layout
    _turns: Iterator[int] = field(default_factory=itertools.count, init=False)
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
        address = await self._address(to)
        url = f"http://{address}:{port}/{path.lstrip('/')}"
        with breaking(to):
            async with self.client.stream(method, url, json=json, headers=headers) as answer:
                if encoding := encoding_of(answer.headers):
                    why = f"{to} answered with Content-Encoding {encoding!r}, which was not asked for"
                    raise PortError(why)
                yield LocalReply(to, answer, self._room)

    async def _address(self, to: Ref) -> str:
        """A pod's own address, or the next one in the workload's endpoints file (controllers.endpoints)."""
        if to.kind == "Pod":
            address = (await self.objects.get(to)).get("status", {}).get("podIP")
            if not address:
                raise PortError(f"{to} has no address yet")
            return str(address)
        try:
            found = loads(self.layout.endpoints(to.namespace, to.name).read_text())
        except FileNotFoundError as err:
            raise NotFound(f"{to} has no pods") from err
        except (OSError, ValueError) as err:
            raise Unavailable(f"cannot read the endpoints of {to}: {err}") from err
        addresses: list[str] = [
            entry["ip"] for name in found["frontends"] for entry in found["services"].get(name, ())
        ]
        if not addresses:
            raise PortError(f"{to} has no ready frontend pod", hint="check its pods' logs")
        return addresses[next(self._turns) % len(addresses)]


class LocalReply(StreamingReply):
    """See `offbus_steps.port.StreamingReply`."""

    def __init__(self, to: Ref, answer: httpx.Response, room: Room) -> None:
        self.status = answer.status_code
        self.headers: Mapping[str, str] = dict(answer.headers)
        self._to = to
        self._answer = answer
        self._room = room

    async def lines(self) -> AsyncGenerator[str, None]:
        """The body's lines as they arrive."""
        chunks = self._answer.aiter_raw()
        found = lines_of(chunks, longest=LONGEST_LINE, most=LARGEST_STREAM, room=self._room)
        with breaking(self._to):
            async with aclosing(found):
                async for line in found:
                    yield line

    async def read(self) -> bytes:
        """The whole body."""
        with breaking(self._to):
            return await whole_of(self._answer.aiter_raw(), LARGEST_ANSWER, room=self._room)


@contextmanager
def breaking(to: Ref) -> Iterator[None]:
    """Translate httpx's errors: a refused or broken connection is the target's failure."""
    try:
        yield
    except httpx.HTTPError as err:
        raise PortError(f"{to} broke the connection: {type(err).__name__}: {err}") from err
    except LineTooLong as err:
        raise PortError(f"{to}: {err}") from err
