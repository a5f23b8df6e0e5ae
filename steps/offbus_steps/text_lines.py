"""Lines of a streamed body, read as bytes: the one reader of adapters, clients and watches.

A line ends with a line feed, before which a carriage return belongs to the end; nothing else ends one. `str.splitlines`
and httpx's `aiter_lines` also split at form feeds, U+0085, U+2028 and others, which JSON may hold unescaped: an event
would come in two pieces. Bytes that are no UTF-8 become U+FFFD. A line that does not end is given up at `LONGEST`, and
so is a body that is read whole: whoever sends it does not choose how much memory that takes.
"""

from collections.abc import AsyncIterable, AsyncIterator

__all__ = ["LONGEST", "LineTooLong", "lines_of", "whole_of"]

LONGEST = 16 << 20
"""Bytes. An object of a cluster has at most some 1.5 MiB (etcd's limit of a request); a list is not read by lines."""


class LineTooLong(ValueError):
    """Raised when a line or a body has not ended after its most bytes."""


async def lines_of(chunks: AsyncIterable[bytes]) -> AsyncIterator[str]:
    """The lines as they arrive, without their ends; the last one may lack its own. Raises LineTooLong."""
    pieces: list[bytes] = []
    size = 0
    async for chunk in chunks:
        *whole, rest = chunk.split(b"\n")
        for line in whole:
            yield b"".join([*pieces, line]).removesuffix(b"\r").decode("utf-8", "replace")
            pieces, size = [], 0
        pieces.append(rest)
        size += len(rest)
        if size > LONGEST:
            raise LineTooLong(f"a line did not end within {LONGEST} bytes")
    if size:
        yield b"".join(pieces).removesuffix(b"\r").decode("utf-8", "replace")


async def whole_of(chunks: AsyncIterable[bytes], most: int = LONGEST) -> bytes:
    """All of a body. Raises LineTooLong."""
    pieces: list[bytes] = []
    size = 0
    async for chunk in chunks:
        pieces.append(chunk)
        size += len(chunk)
        if size > most:
            raise LineTooLong(f"a body did not end within {most} bytes")
    return b"".join(pieces)
