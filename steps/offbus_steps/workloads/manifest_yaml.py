"""YAML files as kubectl reads them: the documents of a file, each with its position, and scalars of the same types.

Kubernetes reads YAML with go.yaml.in/yaml/v2 (below sigs.k8s.io/yaml). Its resolve.go differs from PyYAML's YAML 1.1 in
what manifests are full of: `22:30` and `65:00.0` (a time, a PCI address) are text and no numbers of base 60, timestamps
are text, `1e3` is a number, `y` and `n` are booleans. Files are not trusted: no aliases (they can grow without bound),
and at most 100 levels. An error names the file and the position.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from offbus.errors import StepError

__all__ = ["Entry", "entries"]

DEEPEST = 100
LONGEST = 200
"""Digits of an integer, leading zeros included."""

_TAG = "tag:yaml.org,2002:"
_BOOL = "y Y yes Yes YES true True TRUE on On ON n N no No NO false False FALSE off Off OFF"
_SCALARS = (
    ("bool", "|".join(_BOOL.split()), "yYnNtTfFoO"),
    ("null", "~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("merge", "<<", "<"),
    ("int", "[-+]?(0[bB][01_]+|0[oO]?[0-7_]+|0[xX][0-9a-fA-F_]+|[1-9][0-9_]*|0)", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9][0-9_]*|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+0123456789.",
    ),
)
"""Tag, form and first characters of each kind of plain scalar, in the order in which they are tried."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One object of a file, as plain values; `where` says which, for messages."""

    where: str
    value: Any


def entries(path: Path, text: bytes) -> list[Entry]:
    """The documents of a file in order, the items of a `kind: List` one by one; empty ones count, and are left out.

    Raises StepError.
    """
    import yaml

    try:
        _refuse_traps(path, yaml.parse(text, Loader=_loader()))
        return list(_documents(path, text))
    except yaml.MarkedYAMLError as err:
        mark = err.problem_mark or err.context_mark
        where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else f"{path}"
        said = "cannot be read" if isinstance(err, yaml.constructor.ConstructorError) else "is not YAML"
        raise StepError(f"the manifest {where} {said}: {err.problem or err.context}") from err
    except (yaml.YAMLError, ValueError, OverflowError) as err:
        raise StepError(f"the manifest {path} is not YAML: {' '.join(str(err).split())}") from err


@cache
def _loader() -> Any:
    """PyYAML's safe loader with Kubernetes' scalars."""
    import yaml

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # the C one may be missing
        yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  PyYAML's own form

    for kind, form, first in _SCALARS:
        Loader.add_implicit_resolver(f"{_TAG}{kind}", re.compile(f"(?:{form})$"), list(first))
    Loader.add_constructor(f"{_TAG}bool", _bool)
    Loader.add_constructor(f"{_TAG}int", _int)
    return Loader


def _bool(loader: Any, node: Any) -> bool:
    word = str(loader.construct_scalar(node))
    if word not in _BOOL.split():
        raise ValueError(f"{word!r} is not a boolean")
    return word.lower() in ("y", "yes", "true", "on")


def _int(loader: Any, node: Any) -> int:
    """Digits after a leading 0 are octal (Go's strconv.ParseInt with base 0).

    Go reads what has more than 64 bits as a float or a text; Python as an integer that it may then refuse to print
    (`sys.set_int_max_str_digits`). No field of Kubernetes takes one, so it is refused here.
    """
    word = str(loader.construct_scalar(node)).replace("_", "").lower()
    digits = word.lstrip("+-")
    size = 0
    if fits := len(digits) <= LONGEST:  # reading a long one takes quadratic time
        size = int(digits, 8) if digits[:1] == "0" and digits.isdecimal() else int(digits, 0)
    size = -size if word.startswith("-") else size
    if not fits or not -(1 << 63) <= size < 1 << 64:
        from yaml.constructor import ConstructorError

        problem = "an integer has more than 64 bits; quote what is text"
        raise ConstructorError(None, None, problem, node.start_mark)
    return size


def _documents(path: Path, text: bytes) -> Iterator[Entry]:
    loader = _loader()(text)
    try:
        number = 0
        while loader.check_node():
            number += 1
            node = loader.get_node()
            yield from _objects(path, f", document {number}", node, loader.construct_document(node))
    finally:
        loader.dispose()


def _objects(path: Path, which: str, node: Any, value: Any) -> Iterator[Entry]:
    if value is None:
        return
    mark = node.start_mark
    where = f"the manifest {path}:{mark.line + 1}:{mark.column + 1}{which}"
    if not isinstance(value, dict) or value.get("kind") != "List":
        yield Entry(where, value)
        return
    items = value.get("items") or ()
    if not isinstance(items, list | tuple):
        raise StepError(f"{where}: items must be a list")
    nodes = next((inner.value for key, inner in node.value if key.value == "items"), ())
    for number, (inner, item) in enumerate(zip(nodes, items, strict=False), 1):
        yield from _objects(path, f"{which}, item {number}", inner, item)


def _refuse_traps(path: Path, events: Any) -> None:
    """Raises StepError for aliases and too deep nesting, before any value is created."""
    import yaml

    depth = 0
    for event in events:
        where = f"{path}:{event.start_mark.line + 1}:{event.start_mark.column + 1}"
        if isinstance(event, yaml.AliasEvent):
            raise StepError(f"the manifest {where} uses a YAML alias", hint="write the values out")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise StepError(f"the manifest {where} is nested more than {DEEPEST} levels deep")
