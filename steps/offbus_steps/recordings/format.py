"""The format of a recording: JSON lines, the first one its header, each other one a change, a gap, or the end.

    {"offbus_recording": 1, "offbus": "0.2.0", "serves": "Kubernetes v1.34.4", "watched": ["Node", …], …}
    {"at": 10.12, "subject": "Node/node-1", "node": "node-1", "field": "cordoned", "from": false, "to": true}
    {"at": 61.5, "gap": "Node objects: silent for 75 s"}
    {"at": 70.0, "end": "SIGINT"}

`at` is seconds on the recorder's monotonic clock since the recording began, never less than in the line before; all
changes of one update of an object have the same. A value of `from` or `to` is null where the field is not there. Only
the recorder writes this, but a recording comes from anybody: its size, its lines, their depth and every text are
bounded, and an unknown key or another version is an error. The last line may be torn: its writer was killed.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from offbus.errors import UsageError
from offbus.files import read_bounded
from offbus.journal.bounds import too_deep
from offbus.json_values import parsed

__all__ = [
    "LARGEST",
    "LONGEST_VALUE",
    "VERSION",
    "Change",
    "End",
    "Gap",
    "Header",
    "Line",
    "Recording",
    "Value",
    "encoded",
    "read_recording",
]

VERSION = 1
LARGEST = 32 << 20
"""Bytes of a recording: some 200,000 changes."""
LONGEST_LINE = 64 << 10
"""Bytes."""
LONGEST_VALUE = 4096
"""Characters: a condition with dozens of findings."""
LONGEST_S = 366 * 86400.0

Name = Annotated[str, Field(max_length=512)]
Value = Annotated[str, Field(max_length=LONGEST_VALUE)] | bool | None
Seconds = Annotated[float, Field(ge=0, le=LONGEST_S, allow_inf_nan=False)]


class _Line(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, defer_build=True, populate_by_name=True
    )


class Header(_Line):
    """What was recorded, and of which cluster, as far as that names nobody."""

    offbus_recording: Literal[1] = 1
    offbus: Name
    """The version that recorded it."""
    serves: Name
    """ "Kubernetes v1.34.4", or what else serves the objects."""
    responder: list[Name] = Field(max_length=100)
    """Its deployments with their versions."""
    watched: list[Name] = Field(max_length=100)
    """Kinds."""
    unwatched: Mapping[Name, Name] = Field(max_length=100)
    """Kinds, each with the reason."""
    nodes: int = Field(ge=0)
    """How many were watched when it began."""
    names: bool
    """Whether nodes have their own names."""


class Change(_Line):
    """A field of an object changed."""

    at: Seconds
    subject: Name
    """ "Node/node-1", "Pod/pod-3", "RebootNode/rebootnode-1"."""
    node: Name
    """The node that it is about; "" for none."""
    field: Name
    was: Value = Field(alias="from")
    to: Value
    initial: bool = False
    """It was so when the recording began."""


class Gap(_Line):
    """Something may have been missed here."""

    at: Seconds
    gap: Name


class End(_Line):
    """The recorder stopped, and why; a recording without it ends with its last line."""

    at: Seconds
    end: Name


Line = Change | Gap | End
L = TypeVar("L", bound=_Line)


@dataclass(frozen=True, slots=True)
class Recording:
    """A whole recording."""

    path: Path
    header: Header
    lines: tuple[tuple[int, Line], ...]
    """Each with its number in the file."""
    torn: bool
    """Whether the last line is incomplete; it is not among the others."""

    @property
    def ended_at(self) -> float:
        """Its length in seconds."""
        return self.lines[-1][1].at if self.lines else 0.0

    @property
    def changes(self) -> Iterator[tuple[int, Change]]:
        """The changes."""
        return ((number, one) for number, one in self.lines if isinstance(one, Change))


def encoded(line: Header | Line) -> bytes:
    """A line as it is stored."""
    found = line.model_dump(mode="json", by_alias=True)
    if isinstance(line, Change) and not line.initial:
        del found["initial"]
    return json.dumps(found, separators=(",", ":")).encode() + b"\n"


def read_recording(path: Path) -> Recording:
    """Read a recording. Raises UsageError naming the line."""
    try:
        raw = read_bounded(path, LARGEST)
    except OSError as err:
        raise UsageError(f"cannot read the recording {path}: {err.strerror}") from err
    if len(raw) > LARGEST:
        raise UsageError(f"{path} is larger than {LARGEST >> 20} MiB, which no recording is")
    whole, line_end, rest = raw.rpartition(b"\n")
    rows = iter(enumerate(BytesIO(whole + line_end), start=1))
    _, first = next(rows, (1, b""))
    header = _header(path, first or rest[:LONGEST_LINE])
    lines: list[tuple[int, Line]] = []
    for number, row in rows:
        one = _line(path, number, row)
        if lines and one.at < lines[-1][1].at:
            raise UsageError(
                f"{path}:{number}: it happened before the line above it; a recording is in order of time"
            )
        lines.append((number, one))
    return Recording(path, header, tuple(lines), torn=bool(rest))


def _header(path: Path, row: bytes) -> Header:
    found = _json(path, 1, row)
    version = found.get("offbus_recording") if isinstance(found, dict) else None
    if type(version) is not int:
        raise UsageError(f"{path} is no recording", hint="`offbus observe --out FILE` makes one")
    if version != VERSION:
        shown = version if 0 <= version < 1000 else "unknown to everybody"
        hint = "use the offbus that recorded it, or a newer one"
        raise UsageError(f"{path}: its format is {shown}, and this offbus reads format {VERSION}", hint=hint)
    return _checked(path, 1, found, Header)


def _line(path: Path, number: int, row: bytes) -> Line:
    found = _json(path, number, row)
    keys = found if isinstance(found, dict) else {}
    if "field" in keys:
        return _checked(path, number, found, Change)
    if "gap" in keys:
        return _checked(path, number, found, Gap)
    if "end" in keys:
        return _checked(path, number, found, End)
    raise UsageError(f"{path}:{number}: it is no line of a recording: it has no `field`, `gap` or `end`")


def _json(path: Path, number: int, row: bytes) -> Any:
    if len(row) > LONGEST_LINE:
        if number == 1:
            return None
        raise UsageError(f"{path}:{number}: the line is longer than {LONGEST_LINE >> 10} KiB")
    try:
        found = parsed(row)
    except (ValueError, RecursionError) as err:
        if number == 1:
            return None
        raise UsageError(f"{path}:{number}: the line is not JSON: {str(err)[:200]}") from err
    if too_deep(row, found):
        raise UsageError(f"{path}:{number}: the line is nested too deeply")
    return found


def _checked(path: Path, number: int, found: Any, kind: type[L]) -> L:
    try:
        return kind.model_validate(found)
    except ValidationError as err:
        first = err.errors(include_url=False, include_input=False)[0]
        key = str(first["loc"][0])[:80]
        raise UsageError(f"{path}:{number}: {key}: {first['msg'][:200]}") from err
