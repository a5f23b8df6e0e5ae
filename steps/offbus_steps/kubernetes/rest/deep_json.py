"""Reads JSON of any depth: what somebody nested deeper than any manifest is replaced by a text that stands for it.

A custom resource may nest as deep as its author likes (the API server takes 10,000 levels: `maxDepth` of Go's
encoding/json), and Python's reader recurses. A list, and a watch, must not break because of one object in it; so their
objects are for looking at. One that is to be changed is read alone and whole, or not at all: a merge patch replaces
whole lists, and must not write the replacement into them.
"""

import hashlib
import json
import re
from typing import Any

__all__ = ["DEEPEST", "parsed"]

DEEPEST = 100
"""Levels that are kept, of a text that nests too deeply to be read."""
TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]', re.DOTALL)


def parsed(text: bytes) -> Any:
    """The value. Raises ValueError when it is not JSON."""
    try:
        return json.loads(text)
    except RecursionError:
        pass
    try:
        return json.loads(_pruned(text))
    except RecursionError as err:
        raise ValueError("it is nested too deeply") from err


def _pruned(text: bytes) -> bytes:
    """The same text, each value below DEEPEST levels replaced by a string with its digest."""
    pieces: list[bytes] = []
    depth = begin = copied = 0
    for token in TOKEN.finditer(text):
        mark = token.group()
        if mark in (b"{", b"["):
            depth += 1
            begin = token.start() if depth == DEEPEST else begin
        elif mark in (b"}", b"]"):
            if depth == DEEPEST:
                digest = hashlib.sha256(text[begin : token.end()]).hexdigest()
                pieces += [text[copied:begin], b'"nested too deeply: sha256:%s"' % digest.encode()]
                copied = token.end()
            depth -= 1
    return b"".join((*pieces, text[copied:]))
