"""Makes what is journaled plain JSON of a bounded size: huge evidence is cut, with a marker; never a crash.

What a step, an undo or an environment says may be anything: 100 MB of a log, a NaN, half a surrogate pair, an object
of its own. Events of the kinds in `WHOLE` are what an undo needs later: they are never cut, so what does not fit is
refused (offbus.errors.JournalError) *before* the effect. All others only inform, so they are cut until they fit.
"""

import math
from collections.abc import Mapping, Sequence, Set
from datetime import timedelta
from typing import Any

from offbus.journal.events import EventKind

__all__ = ["DEEPEST", "MOST_VALUES", "TOLD_BYTES", "WHOLE", "WHOLE_BYTES", "cut", "too_deep"]

WHOLE = frozenset(
    (EventKind.RUN_STARTED, EventKind.ENVIRONMENT_OPENED, EventKind.UNDO_RECORDED, EventKind.FINGERPRINT)
)
"""Kinds that are kept whole or refused."""
WHOLE_BYTES = 64 * 1024 * 1024
"""Of one line of those kinds: a fingerprint of 20,000 objects has about 10 MB."""
TOLD_BYTES = 64 * 1024
"""Of one line of any other kind."""
MOST_VALUES = 1 << 20
"""Of one line (offbus.json_values): the largest fingerprint that is tested has a third of them."""
DEEPEST = 100
"""Levels of an event, itself the first: what writes reports goes to some 250, and a report nests an event deeper."""
MARKER = "… ({} more)"
"""Replaces what was cut."""
ROUNDS = ((8192, 64, 8), (1024, 32, 6), (128, 8, 4))
"""Longest text, most items, greatest depth: tried one after the other until the event fits."""


def cut(value: object, tightness: int = 0) -> Any:
    """`value` as JSON values, none of them larger than the bounds of that tightness (0, 1 or 2)."""
    text, items, depth = ROUNDS[tightness]
    return _cut(value, text, items, depth)


def too_deep(body: bytes, event: object) -> bool:
    """Whether an event is nested deeper than `DEEPEST`; `body` is its JSON, which nearly always tells at once."""
    return body.count(b"[") + body.count(b"{") > DEEPEST and _deeper(event, DEEPEST)


def _deeper(value: object, most: int) -> bool:
    if not isinstance(value, Mapping | list | tuple):
        return False
    inner = value.values() if isinstance(value, Mapping) else value
    return most == 0 or any(_deeper(one, most - 1) for one in inner)


def _cut(value: object, text: int, items: int, depth: int) -> Any:
    match value:
        case None | bool():
            return value
        case int():
            return value if abs(value) < 2**63 else _text(hex(value), text)
        case float():
            return value if math.isfinite(value) else str(value)
        case str():
            return _text(value, text)
        case timedelta():
            return value.total_seconds()
        case Mapping() | Sequence() | Set() if depth == 0:
            return MARKER.format("deeper")
        case Mapping():
            chosen = list(value.items())[:items]
            named = {_text(str(key), 256): _cut(item, text, items, depth - 1) for key, item in chosen}
            return named if len(value) <= items else {**named, "…": MARKER.format(len(value) - items)}
        case bytes() | bytearray():
            return _text(repr(bytes(value[: text + 1])), text)
        case Sequence() | Set():
            short = [_cut(item, text, items, depth - 1) for item in list(value)[:items]]
            return short if len(value) <= items else [*short, MARKER.format(len(value) - items)]
    try:
        return _text(repr(value), text)
    except Exception:  # noqa: BLE001  a broken __repr__ of somebody's class must not break the journal
        return _text(f"<{type(value).__name__}>", text)


def _text(value: str, longest: int) -> str:
    shown = value if len(value) <= longest else value[:longest] + MARKER.format(len(value) - longest)
    return shown.encode("utf-8", "replace").decode("utf-8")
