"""What of a workload's spec and of a node's annotations a fingerprint keeps by value: what drills and responders set.

All the rest is a digest, because specs and annotations hold secrets; so is what is out of all proportion. A custom
resource nests as deep as its author likes, so nothing here recurses deeper than what is ours can be. Pure.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from itertools import chain
from typing import Any

from offbus_steps.nvsentinel import names
from offbus_steps.residue.bounded_values import MORE, digest, few_of, short

__all__ = ["OURS_PREFIX", "few_marks", "shown_annotations", "split_spec"]

OURS_PREFIX = "offbus.dev/"
OUR_NAMES = re.compile(r"offbus(?:-page|-lib|-events)?|LD_PRELOAD|OFFBUS_[A-Z_]+")
"""Names of the environment variables, volumes and mounts that `prepare_cuda` sets."""
DEEPEST = 40
"""Levels of a spec, twice as many as a pod's template in a graph has."""
MOST_SET = 1 << 16
"""Characters that are kept of a workload, as JSON with paths: what drills set has some 1,000 for each container."""
MOST_ANNOTATIONS, LONGEST_ANNOTATION = 512, 1 << 16
"""Of an object; a responder's about one health event has some 1,000 characters."""


def split_spec(spec: object) -> tuple[dict[str, Any], str]:
    """A workload's spec as the values that a drill may set, by their path, and a digest of all the rest.

    Other values never leave this function: specs hold secrets.
    """
    ours: dict[str, Any] = {}
    rest = json.dumps(_without_ours(spec, "", ours), sort_keys=True, default=str)
    return _as_fits(ours), digest(rest)


def _as_fits(ours: Mapping[str, Any]) -> dict[str, Any]:
    """As many values as fit, by their paths; all others together as one digest: anybody may use these names."""
    fits: dict[str, Any] = {}
    rest, size = [], 0
    for path, value in sorted(ours.items()):
        text = json.dumps(value, sort_keys=True, default=str)
        if size + len(path) + len(text) <= MOST_SET:
            fits[path] = value
            size += len(path) + len(text)
        else:
            rest.append((path, text))
    return fits | ({MORE: f"{len(rest)}, sha256:{digest(repr(rest))}"} if rest else {})


def shown_annotations(annotations: Mapping[str, str]) -> dict[str, str]:
    """Annotations; the values of those that neither a drill nor a responder sets as digests: some hold secrets."""
    return few_marks(
        {
            name: short(value, LONGEST_ANNOTATION) if is_mark(name) else f"sha256:{digest(str(value))}"
            for name, value in annotations.items()
        }
    )


def few_marks(marks: Mapping[str, str]) -> dict[str, str]:
    """Labels or annotations, as many as are kept, those of drills and responders before all others."""
    return few_of(marks, MOST_ANNOTATIONS, filter(is_mark, sorted(marks)))


def is_mark(name: str) -> bool:
    """Whether a label or an annotation is a drill's, or a responder's."""
    return names.is_ours_to_clear(name) or name.startswith(OURS_PREFIX)


def _digest_of_any_depth(value: object) -> str:
    """Of a JSON value, without recursion: each value in turn, a container as its length before what it holds."""
    digest, waiting = hashlib.sha256(), [value]
    while waiting:
        one = waiting.pop()
        shown: object = one
        if isinstance(one, Mapping):
            shown = {"": len(one)}
            waiting.extend(chain.from_iterable(sorted(one.items())))
        elif isinstance(one, list):
            shown = [len(one)]
            waiting.extend(one)
        digest.update(json.dumps(shown, default=str).encode())
    return digest.hexdigest()


def _cut(value: object, levels: int = 10) -> object:
    """The same value, its containers below these levels as digests: none of ours has so many."""
    if not isinstance(value, (Mapping, list)):
        return value
    if not levels:
        return f"sha256:{_digest_of_any_depth(value)}"
    if isinstance(value, Mapping):
        return {key: _cut(one, levels - 1) for key, one in value.items()}
    return [_cut(one, levels - 1) for one in value]


def _without_ours(value: object, path: str, ours: dict[str, Any], depth: int = 0) -> object:
    """`value` without what is ours, which goes into `ours`, and without what becomes empty by that."""
    if depth == DEEPEST and isinstance(value, (Mapping, list)):
        return _digest_of_any_depth(value)
    if isinstance(value, Mapping):
        remaining = {key: _without_ours(one, f"{path}.{key}", ours, depth + 1) for key, one in value.items()}
        return {key: one for key, one in remaining.items() if one not in ({}, [])}
    if isinstance(value, list):
        others: list[object] = []
        for index, one in enumerate(value):
            name = one.get("name") if isinstance(one, Mapping) else None
            where = f"{path}[{index if name is None else name}]"
            if isinstance(name, str) and OUR_NAMES.fullmatch(name):
                ours[where.lstrip(".")] = _cut(one)
            elif (rest := _without_ours(one, where, ours, depth + 1)) not in ({}, []):
                others.append(rest)
        return others
    return value
