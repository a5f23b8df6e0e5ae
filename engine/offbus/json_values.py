"""JSON that somebody else wrote: how many values it holds, before it is parsed, and parsing it, to what can be written.

A short text can become fifty times its size in memory: an empty list is two bytes of JSON and 56 bytes of Python, a
mapping of one entry eight and some 200. Whoever reads JSON of others bounds its values by this count, not its bytes
alone. Marks inside strings are none: outsiders choose texts (a condition's reason, an Event's message), and a text of
commas costs no more than another. And JSON may escape half a surrogate pair (RFC 8259, section 8.2), which is a `str`
for Python that nothing can write: `parsed` refuses it. Pure.
"""

import json
from math import inf
from typing import Any

__all__ = ["count_values", "has_more_values", "most_values", "parsed"]

CHUNK = 1 << 18
"""Bytes that are taken apart at a time: what that needs is in proportion to them, not to the text."""
_MARKS = (b",", b"[", b"{")


def most_values(text: bytes) -> int:
    """A bound of `count_values` that costs next to nothing: marks inside strings count, too."""
    return sum(map(text.count, _MARKS))


def has_more_values(text: bytes, most: int) -> bool:
    """Whether there are more than `most`; strings are told from the rest only where that matters."""
    return most_values(text) > most and count_values(text, most) > most


def count_values(text: bytes, most: float = inf) -> int:
    """At least as many as there are, less the outermost one: each follows a `,`, or is the first after `[` or `{`.

    Of a text that is no JSON: as many as it has up to where it is none, at least. Counting ends soon after `most`.
    """
    values = begin = inside = 0
    while begin < len(text) and values <= most:
        chunk = text[begin : begin + CHUNK]
        if (len(chunk) - len(chunk.rstrip(b"\\"))) % 2:  # the last one escapes what comes next
            chunk = text[begin : begin + CHUNK + 1]
        begin += len(chunk)
        parts = chunk.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')
        values += most_values(b" ".join(parts[inside::2]))
        inside = (inside + len(parts) - 1) % 2
    return values


def parsed(text: bytes | str) -> Any:
    """The value of a JSON text. Raises ValueError, also for one that holds what is no text, and RecursionError."""
    value = json.loads(text)
    escaped = (
        b"\\u" in text or b"\xed" in text if isinstance(text, bytes) else "\\u" in text or not text.isascii()
    )
    if escaped:
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError as err:
            raise ValueError("it holds half a surrogate pair, which is no text") from err
    return value
