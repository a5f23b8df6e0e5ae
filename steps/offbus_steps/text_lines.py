"""Lines of a streamed body, read as bytes: the one reader of adapters, clients and watches.

A line ends with a line feed, before which a carriage return belongs to the end; nothing else ends one. `str.splitlines`
and httpx's `aiter_lines` also split at form feeds, U+0085, U+2028 and others, which JSON may hold unescaped: an event
would come in two pieces. Bytes that are no UTF-8 become U+FFFD.

Whoever sends a body chooses neither how much memory it takes nor how long others wait. A line that does not end is
given up, and so is a body that is read whole, a stream that is bounded, and what would fill the `Room` that several
share. What was received at once is handed out in turns, between which other tasks run and timeouts and cancellations
come. No body is decompressed: a thousandth of it would do (`encoding_of` tells one that came compressed all the same).
"""

from collections.abc import AsyncGenerator, AsyncIterable, Mapping
from dataclasses import dataclass

import anyio.lowlevel

__all__ = ["LONGEST", "PLAIN", "LineTooLong", "Room", "encoding_of", "lines_of", "whole_of"]

LONGEST = 16 << 20
"""Bytes. An object of a cluster has at most some 1.5 MiB (etcd's limit of a request); a list is not read by lines."""
PLAIN: Mapping[str, str] = {"Accept-Encoding": "identity"}
"""The header of a request whose answer may not be compressed (RFC 9110, section 12.5.3)."""
TURN, TURN_LINES = 1 << 16, 10_000
"""Bytes and lines that are handed out until other tasks have their turn."""
LEAST_LINE = 64
"""Bytes: what a line costs, however short it is."""


class LineTooLong(ValueError):
    """Raised when a line or a body has not ended after its most bytes, or there is no room for it."""


@dataclass(slots=True)
class Room:
    """Bytes that the bodies in flight may hold together, beside what the sockets buffer."""

    most: int
    used: int = 0

    def take(self, size: int) -> None:
        """For so many bytes more; the caller gives back what it has taken. Raises LineTooLong."""
        if self.used + size > self.most:
            raise LineTooLong(f"the answers in flight do not fit into {self.most} bytes")
        self.used += size


def encoding_of(headers: Mapping[str, str]) -> str:
    """How a body is encoded that was asked for as it is; "" when it is. Names of headers are in any case."""
    named = [value.strip() for name, value in headers.items() if name.lower() == "content-encoding"]
    return ", ".join(value for value in named if value.lower() not in ("", "identity"))


async def lines_of(
    chunks: AsyncIterable[bytes],
    *,
    longest: int = LONGEST,
    most: int | None = None,
    room: Room | None = None,
) -> AsyncGenerator[str, None]:
    """The lines as they arrive, without their ends; the last one may lack its own. Raises LineTooLong.

    A line has at most `longest` bytes, all together have `most`, a line counting as LEAST_LINE at least; what there is
    of one that has not ended is in `room` until the generator is closed.
    """
    line, waiting = bytearray(), 0
    size = lines = 0
    try:
        async for chunk in chunks:
            size += len(chunk)
            for start in range(0, len(chunk), TURN):
                *ended, rest = chunk[start : start + TURN].split(b"\n")
                size += LEAST_LINE * len(ended)
                if most is not None and size > most:
                    raise LineTooLong(f"a stream did not end within {most} bytes")
                for piece in ended:
                    yield _line(line, piece, longest)
                    lines += 1
                    if lines % TURN_LINES == 0:
                        await anyio.lowlevel.checkpoint()
                line += rest
                if len(line) > longest:
                    raise LineTooLong(f"a line did not end within {longest} bytes")
                if start:
                    await anyio.lowlevel.checkpoint()
            if room is not None:
                room.take(len(line) - waiting)
                waiting = len(line)
        if line:
            yield _line(line, b"", longest)
    finally:
        if room is not None:
            room.used -= waiting


def _line(line: bytearray, piece: bytes, longest: int) -> str:
    """The line, which ends with this piece; it is empty from then on."""
    line += piece
    if len(line) > longest:
        raise LineTooLong(f"a line did not end within {longest} bytes")
    text = line.removesuffix(b"\r").decode("utf-8", "replace")
    line.clear()
    return text


async def whole_of(chunks: AsyncIterable[bytes], most: int = LONGEST, *, room: Room | None = None) -> bytes:
    """All of a body. Raises LineTooLong."""
    body, turns = bytearray(), 0
    try:
        async for chunk in chunks:
            if room is not None:
                room.take(len(chunk))
            body += chunk
            if len(body) > most:
                raise LineTooLong(f"a body did not end within {most} bytes")
            if len(body) // TURN > turns:
                turns = len(body) // TURN
                await anyio.lowlevel.checkpoint()
        return bytes(body)
    finally:
        if room is not None:
            room.used -= len(body)
