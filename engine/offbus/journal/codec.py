"""One event to one line and back; the checksum makes a torn or damaged line visible.

Every format version that was ever released has its reader in `READERS`, which returns events in the current format.
A line is only an event when its checksum, its version and the schema of its kind all hold: a fold gets only valid
events, also from a file that was made by hand.
"""

import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import cache
from typing import Any

from pydantic_core import from_json, to_json

from offbus.errors import JournalError
from offbus.journal.bounds import DEEPEST, MOST_VALUES, ROUNDS, TOLD_BYTES, WHOLE, WHOLE_BYTES, cut, too_deep
from offbus.journal.events import OF_STEPS, VERSION, Event, EventKind, is_run
from offbus.journal.kinds import DATA
from offbus.json_values import count_values, has_more_values, parsed

__all__ = [
    "READERS",
    "DamagedLine",
    "NewerFormat",
    "TooLarge",
    "checked",
    "decode",
    "encode",
    "plain",
    "read_back",
    "salvage",
]


class DamagedLine(JournalError):
    """Raised when a line is not an event: cut or changed."""


class NewerFormat(JournalError):
    """Raised for an event of a newer format than this offbus reads: only a newer one may read it, and undo."""


class TooLarge(JournalError):
    """Raised for an event that must be whole, and has more bytes or values than a line may."""


def encode(event: Mapping[str, Any]) -> bytes:
    """The line of an event, newline included. Raises JournalError for what must be whole and cannot be: TooLarge."""
    whole = event["kind"] in WHOLE
    try:
        body = _body(event)
    except (TypeError, ValueError, RecursionError) as err:
        if whole:
            raise JournalError(f"an event of kind {event['kind']} is not JSON: {err}") from err
        return _cut_to_fit(event)
    if whole and has_more_values(body, MOST_VALUES):
        raise TooLarge(f"an event of kind {event['kind']} has too many values ({count_values(body)})")
    deep = too_deep(body, event)
    if len(body) <= (WHOLE_BYTES if whole else TOLD_BYTES) and not deep:
        return _line(body)
    if whole and deep:
        raise JournalError(f"an event of kind {event['kind']} is nested deeper than {DEEPEST} levels")
    if whole:
        raise TooLarge(f"an event of kind {event['kind']} is too large ({len(body)} bytes)")
    return _cut_to_fit(event)


def _cut_to_fit(event: Mapping[str, Any]) -> bytes:
    for tightness in range(len(ROUNDS)):
        body = _body({**event, "data": cut(event["data"], tightness)})
        if len(body) <= TOLD_BYTES:
            return _line(body)
    raise AssertionError("the tightest round bounds every event")


def _body(event: Mapping[str, Any]) -> bytes:
    body = to_json(event, timedelta_mode="float", inf_nan_mode="constants", fallback=_unknown)
    if b"NaN" in body or b"Infinity" in body:
        from_json(body, allow_inf_nan=False)  # raises for the numbers, which are no JSON; a text may say so
    return body[:-1]


def _line(body: bytes) -> bytes:
    return b'%s,"crc":"%08x"}\n' % (body, zlib.crc32(body))


def decode(line: bytes) -> Event:
    """The event of a line. Raises DamagedLine, saying what is wrong with it, and NewerFormat."""
    if not line.endswith(b"\n"):
        raise DamagedLine("the line is cut off")
    body, found, tail = line.rpartition(b',"crc":"')
    if not found or len(line) > WHOLE_BYTES + 64:
        raise DamagedLine("the line has no checksum")
    if tail != b'%08x"}\n' % zlib.crc32(body):
        raise DamagedLine("the line does not match its checksum")
    if has_more_values(body, MOST_VALUES):
        raise DamagedLine(f"the line has more than {MOST_VALUES} values")
    try:
        event = parsed(body + b"}")
    except (ValueError, RecursionError) as err:
        raise DamagedLine(f"the line is not JSON: {err}") from err
    if too_deep(body, event):
        raise DamagedLine(f"the line is nested deeper than {DEEPEST} levels")
    return checked(event)


def plain(value: object) -> Any:
    """A value as it reads back from an event. Raises TypeError, ValueError for what does not belong in one."""
    return _parsed(to_json(value, timedelta_mode="float", inf_nan_mode="constants", fallback=_unknown))


def _parsed(line: bytes) -> Any:
    try:
        return from_json(line, cache_strings="keys")
    except ValueError:  # it is nested deeper than this parser goes
        return json.loads(line)


def read_back(line: bytes) -> Event:
    """The event of a line that `encode` made."""
    event: Event = _parsed(line)
    del event["crc"]  # type: ignore[typeddict-item]  # of the line, not of the event
    return event


def checked(event: Any) -> Event:
    """What somebody made of JSON as an event of this version. Raises DamagedLine when it is none, NewerFormat."""
    version = event.get("v") if isinstance(event, dict) else None
    reader = READERS.get(version) if type(version) is int else None  # True is not 1 here
    if reader is None and type(version) is int and version > VERSION:
        shown = version if version < 1000 else "above 1000"
        message = f"it holds an event of format {shown}, and this offbus reads up to format {VERSION}"
        raise NewerFormat(message, hint="use a newer offbus; nothing was changed")
    if reader is None:
        raise DamagedLine(f"the line is of no known format: v is {version!r}"[:200])
    try:
        return reader(event)
    except (ValueError, KeyError, TypeError) as err:
        what = str(err).splitlines()[0]
        raise DamagedLine(f"the line is no event of format {version}: {what}") from err


def _read_v1(event: Any) -> Event:
    """Format 1, of offbus 0.1: what to do about residue was called `mend`."""
    data = event["data"]
    if event["kind"] == EventKind.RESIDUE and "mend" in data:
        event = {**event, "data": {**data, "fix": data["mend"]}}
        del event["data"]["mend"]
    return _read_v2({**event, "v": VERSION})


def _read_v2(event: Any) -> Event:
    """Format 2 is the current one: nothing to convert.

    Raises ValueError also for a time that is none, a count that no clock reaches, a missing step: folds need them.
    """
    _envelope().validate_python(event, strict=True)
    if _UTC.fullmatch(event["t"]) is None:
        raise ValueError(f"t is {event['t']!r}, not UTC with microseconds")
    datetime.fromisoformat(event["t"])
    if max(abs(event["seq"]), abs(event["mono_ns"])) >= LARGEST:
        raise ValueError("seq or mono_ns has more than 64 bits")
    if event["kind"] in OF_STEPS and "step" not in event:
        raise ValueError("it does not name its step")
    if not is_run(event["run"]):
        raise ValueError("it names no run")
    _schema(event["kind"]).validate_python(event["data"], extra="forbid")
    read: Event = event
    return read


READERS: Mapping[int, Callable[[Any], Event]] = {1: _read_v1, VERSION: _read_v2}
"""Format version -> its reader."""


@cache
def _envelope() -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(Event)


@cache
def _schema(kind: str) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(DATA[EventKind(kind)])


_UTC = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")
LARGEST = 2**63

_BEGIN = re.compile(rb'\{"v":\d+,"seq":')
_END = re.compile(rb',"crc":"[0-9a-f]{8}"\}')


def salvage(line: bytes) -> Iterator[Event]:
    """Whole events inside a damaged line: what is left when a line end between two events was changed."""
    begins = [found.start() for found in _BEGIN.finditer(line)]
    for begin, limit in zip(begins, [*begins, len(line)][1:], strict=True):
        ends = [found.end() for found in _END.finditer(line, begin, limit)]
        if ends:
            try:
                yield decode(line[begin : ends[-1]] + b"\n")
            except DamagedLine:
                continue


def _unknown(value: object) -> object:
    raise TypeError(f"{type(value).__name__} does not belong in a journal: {value!r}"[:500])
