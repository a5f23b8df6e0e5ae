"""Durations as people write them: "90s", "1h30m", "500ms".

    duration := (number unit)+        units d, h, m, s, ms, us: each at most once, largest first
    number   := digits, or digits "." digits for the last unit alone

What `format_duration` prints, `parse_duration` reads back to the same value. Raises ValueError with a message for
people; finer than a microsecond, negative or longer than ten years is refused, never rounded.
"""

import re
from datetime import timedelta
from functools import lru_cache
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

__all__ = ["LONGEST", "PATTERN", "ZERO", "Duration", "format_duration", "parse_duration", "respelt"]

_LAST = r"(?:\.[0-9]{1,9}(?=[a-z]+$))?"
"""A fraction, if only the unit follows."""
_PEOPLE = "".join(f"(?:[0-9]{{1,15}}{_LAST}{unit})?" for unit in ("d", "h", "m", "s", "ms", "us"))
_MACHINES = (
    "P(?=[0-9]|T[0-9])(?:[0-9]{1,9}D)?"
    r"(?:T(?:[0-9]{1,9}H)?(?:[0-9]{1,9}M)?(?:[0-9]{1,15}(?:\.[0-9]{1,6})?S)?)?"
)
PATTERN = f"^(?:(?=[0-9]){_PEOPLE}|{_MACHINES})$"
"""For JSON Schema and editors: what the `Duration` type accepts, but for what is too long or too fine."""
ZERO = r"^(?:0+(?:\.0+)?[a-z]+)+$"
"""For them: no time at all, as people write it."""

LONGEST = timedelta(days=3650)
"""Longer than that is a mistake, and far from where timedelta overflows."""

_UNITS = {"d": 86_400_000_000, "h": 3_600_000_000, "m": 60_000_000, "s": 1_000_000, "ms": 1_000, "us": 1}
_PART = re.compile(r"([0-9]{1,15})(?:\.([0-9]{1,9}))?(d|h|ms|m|s|us)", re.ASCII)
_ISO = re.compile(
    r"P(?:([0-9]{1,9})D)?(?:T(?:([0-9]{1,9})H)?(?:([0-9]{1,9})M)?(?:([0-9]{1,15})(?:\.([0-9]{1,6}))?S)?)?"
)
_NAMES = {
    "d": ("day", "days"), "h": ("hr", "hrs", "hour", "hours"), "m": ("min", "mins", "minute", "minutes"),
    "s": ("sec", "secs", "second", "seconds"), "ms": ("msec", "msecs", "millisecond", "milliseconds"),
    "us": ("µs", "usec", "usecs", "microsecond", "microseconds"),
}  # fmt: skip
_UNIT_OF = {name: unit for unit, names in _NAMES.items() for name in (unit, *names)}
_SAID = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?) ?([a-zµ]+)")
_HOW = 'write it like "90s", "1h30m" or "500ms"'


@lru_cache(maxsize=256)
def parse_duration(text: str) -> timedelta:
    """The duration that `text` names. Raises ValueError saying what is wrong and how to write it."""
    if not text:
        raise ValueError(f"a duration is empty; {_HOW}")
    micros, at, order = 0, 0, list(_UNITS)
    while at < len(text):
        match = _PART.match(text, at)
        if match is None:
            raise ValueError(f"{text!r} is not a duration; {_HOW}")
        whole, fraction, unit = match.groups()
        if unit not in order:
            raise ValueError(f"{text!r} is not a duration: units go from large to small, each once; {_HOW}")
        if fraction and match.end() != len(text):
            raise ValueError(f"{text!r} is not a duration: only its last part may have a fraction; {_HOW}")
        order = order[order.index(unit) + 1 :]
        parts, rest = divmod(int(fraction or "0") * _UNITS[unit], int(10 ** len(fraction or "")))
        if rest:
            raise ValueError(f"{text!r} is finer than a microsecond")
        micros += int(whole) * _UNITS[unit] + parts
        at = match.end()
    return _bounded(text, micros)


def _bounded(text: str, micros: int) -> timedelta:
    if micros > LONGEST // timedelta(microseconds=1):
        raise ValueError(f"{text!r} is longer than {LONGEST.days} days")
    return timedelta(microseconds=micros)


def respelt(text: str) -> str | None:
    """A duration in another notation as it is written here: "90 sec", "5 minutes" and "30s 1m" are "90s", "5m" and
    "1m30s". None for what is none, or may be several: "90", "1:30", "1s2s"."""
    said: dict[str, str] = {}
    at = 0
    while match := _SAID.match(text, at):
        unit = _UNIT_OF.get(match[2])
        if unit is None or unit in said:
            return None
        said[unit] = match[1]
        at = match.end()
        at += text.startswith(" ", at) and at + 1 < len(text)
    if at < len(text):
        return None
    ordered = "".join(f"{said[unit]}{unit}" for unit in _UNITS if unit in said)
    try:
        parse_duration(ordered)
    except ValueError:
        return None
    return ordered


def format_duration(value: timedelta) -> str:
    """The shortest spelling that `parse_duration` reads back to the same value. Raises ValueError for negatives."""
    micros = value // timedelta(microseconds=1)
    if micros < 0:
        raise ValueError(f"a duration is not negative: {value!r}")
    parts = []
    for unit, size in _UNITS.items():
        count, micros = divmod(micros, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def _read(value: Any) -> timedelta:
    """What the `Duration` type accepts: text, a timedelta, and the ISO 8601 that pydantic writes into JSON."""
    if not isinstance(value, str | timedelta):
        raise PydanticCustomError("duration_type", "a duration is text with a unit; {how}", {"how": _HOW})
    try:
        text = format_duration(value) if isinstance(value, timedelta) else value
        iso = _ISO.fullmatch(text)
        if iso is None or not any(iso.groups()):
            return parse_duration(text)
        *counts, fraction = (part or "0" for part in iso.groups())
        micros = sum(int(count) * _UNITS[unit] for count, unit in zip(counts, "dhms", strict=True))
        return _bounded(text, micros + int(fraction.ljust(6, "0")))
    except ValueError as err:
        raise PydanticCustomError("duration", "{problem}", {"problem": str(err)}) from err


Duration = Annotated[
    timedelta,
    PlainValidator(_read),
    PlainSerializer(format_duration, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": PATTERN, "examples": ["90s", "1h30m", "500ms"]}),
]
"""The type for a duration in a pydantic model: "90s" in YAML and JSON, a timedelta in Python."""
