"""A scenario's matrix: the cells that its axes make, each a set of inputs with a stable id. Pure.

    matrix: {size: [4, 8], mode: [a, b], exclude: [{size: 8, mode: b}], include: [{size: 16}]}

The product of the axes in their order, without what `exclude` names, and the cells of `include`, in that order. An
axis is an input. What a cell does not name has the input's default. `exclude` removes every combination that has all
of an entry's values; `include` adds one cell an entry and is not excluded.

A cell's id is made of its own values alone, so it stays what it is when others come and go: `size-4.mode-a`. It
fits a file's name and what limits names to 63 characters of [a-z0-9._-], an alphanumeric first and last.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import product
from typing import Any

from offbus.durations import format_duration
from offbus.secret import Secret
from offbus.userinfo import without_userinfo

__all__ = ["LARGEST", "MOST_CELLS", "Cell", "Matrix", "expand", "shown"]

MOST_CELLS = 256
"""Unless the matrix says otherwise: as many as jobs in a matrix of GitHub Actions."""
LARGEST = 4096
"""What `max_cells` may say."""
LONGEST_ID = 63
LONGEST_LABEL = 200
_PLAIN = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*(\.[0-9]+)*")
"""A value that stands in an id as it is: no two of them can be confused."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One combination: the inputs that it names, of their declared types."""

    inputs: Mapping[str, Any]

    @property
    def id(self) -> str:
        """Names it in `--cell`, in folders and reports."""
        whole = ".".join(f"{name}-{_slug(value)}" for name, value in self.inputs.items())
        return whole if len(whole) <= LONGEST_ID else f"{whole[:54].rstrip('-._')}-{_digest(whole)}"

    @property
    def label(self) -> str:
        """For people: `size=4,mode=a`, and not more than they read."""
        whole = ",".join(
            f"{name}={_plain(shown(value))[:LONGEST_LABEL]}" for name, value in self.inputs.items()
        )
        return whole if len(whole) <= LONGEST_LABEL else f"{whole[: LONGEST_LABEL - 1]}…"


@dataclass(frozen=True, slots=True)
class Matrix:
    """All cells of a scenario, in order, and how they are played."""

    cells: tuple[Cell, ...]
    fail_fast: bool = False
    max_parallel: int = 1


def expand(axes: Mapping[str, Sequence[Any]], exclude: Iterable[Mapping[str, Any]] = ()) -> Iterator[Cell]:
    """The product of the axes, without what is excluded. No axes make no cell."""
    left_out: dict[tuple[str, ...], set[tuple[Any, ...]]] = {}
    for entry in exclude:
        names = tuple(sorted(entry))
        left_out.setdefault(names, set()).add(tuple(entry[name] for name in names))
    if axes:
        for values in product(*axes.values()):
            cell = Cell(dict(zip(axes, values, strict=True)))
            if not any(tuple(cell.inputs[name] for name in names) in of for names, of in left_out.items()):
                yield cell


def shown(value: Any) -> Any:
    """An input's value as reports and plans have it: durations as they are written, URLs without their
    userinfo, secrets by where they are."""
    if isinstance(value, timedelta):
        return format_duration(value)
    if isinstance(value, Secret):
        return str(value)
    return without_userinfo(value) if isinstance(value, str) else value


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _slug(value: Any) -> str:
    """What is shown of it; the digest is of all of it, so that two values never share an id."""
    text, told = (
        _plain(one)
        for one in (format_duration(value) if isinstance(value, timedelta) else value, shown(value))
    )
    if _PLAIN.fullmatch(text):
        return text
    words = re.sub(r"[^a-z0-9]+", "-", told.lower()).strip("-")[:24].rstrip("-")
    return f"{words}-{_digest(text)}" if words else _digest(text)


def _digest(text: str) -> str:
    return hashlib.sha256(json.dumps(text).encode()).hexdigest()[:8]
