"""One event to one line and back; the checksum makes a torn or damaged line visible."""

import json
import zlib
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from offbus.errors import JournalError
from offbus.journal.events import VERSION, Event

__all__ = ["MAX_LINE", "DamagedLine", "decode", "encode"]

MAX_LINE = 4 * 1024 * 1024
"""Bytes; a longer line is refused when written and damaged when read."""


class DamagedLine(JournalError):
    """Raised when a line is not an event: cut, changed, or from a newer format."""


def encode(event: Mapping[str, Any]) -> bytes:
    """The line of an event, newline included."""
    body = _ENCODER(event)[:-1].encode()
    if len(body) > MAX_LINE:
        raise JournalError(f"an event of kind {event['kind']} is too large ({len(body)} bytes)")
    return b'%s,"crc":"%08x"}\n' % (body, zlib.crc32(body))


def decode(line: bytes) -> Event:
    """The event of a line. Raises DamagedLine, saying what is wrong with it."""
    if not line.endswith(b"\n"):
        raise DamagedLine("the line is cut off")
    body, found, tail = line.rpartition(b',"crc":"')
    if not found or len(line) > MAX_LINE + 64:
        raise DamagedLine("the line has no checksum")
    if tail != b'%08x"}\n' % zlib.crc32(body):
        raise DamagedLine("the line does not match its checksum")
    event: Event = json.loads(body + b"}")
    if event["v"] != VERSION:
        raise DamagedLine(f"the line is of format {event['v']}, this offbus reads {VERSION}")
    return event


def _plain(value: object) -> object:
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, set | frozenset | tuple):
        return sorted(value) if not isinstance(value, tuple) else list(value)
    raise TypeError(f"{type(value).__name__} does not belong in a journal: {value!r}")


_ENCODER = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain, check_circular=False
).encode
