"""Fields of Kubernetes objects: a path with merge keys, the value before, the value we set, and how to restore it.

A path walks maps by key and lists by merge key, so that an entry is found again after others have moved it:
`("spec", "containers", ("name", "main"), "env", ("name", "LD_PRELOAD"))`. Merge keys are Kubernetes' own: `name`
for containers, env and volumes, `mountPath` for volumeMounts (patchMergeKey of the API types). Pure: arguments are
never changed.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from enum import StrEnum
from itertools import pairwise
from typing import Any

from pydantic import BaseModel, ConfigDict

__all__ = ["Decision", "Field", "Segment", "apply", "decide", "merge_patch", "plan", "read", "restore"]

Segment = str | tuple[str, str]
"""A map's key, or (merge key, value) of a list's entry."""

MISSING: Any = object()
"""What `read` returns when there is nothing (None is a JSON value)."""


class Field(BaseModel):
    """One field that a run sets: enough to undo it from another process."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    path: tuple[Segment, ...]
    existed: bool
    """False: there was nothing at the path, `before` has no meaning, and to undo is to remove."""
    before: Any = None
    intended: Any
    created: int
    """How many segments of the path already existed; empty maps and lists below that are ours to remove."""

    def __str__(self) -> str:
        return "".join(f"[{one[0]}={one[1]}]" if isinstance(one, tuple) else f".{one}" for one in self.path)


class Decision(StrEnum):
    """What an undo does about one field."""

    RESTORE = "restore"
    NOTHING = "nothing"
    CONFLICT = "conflict"


def read(obj: Any, path: Sequence[Segment]) -> Any:
    """What is at the path, or MISSING."""
    for segment in path:
        obj = _step(obj, segment)
        if obj is MISSING:
            return MISSING
    return obj


def plan(obj: Mapping[str, Any], path: Sequence[Segment], intended: Any) -> Field:
    """The record of setting `path` to `intended` in an object as it is now."""
    now = read(obj, path)
    found = next((n for n in range(len(path)) if read(obj, path[: n + 1]) is MISSING), len(path))
    existed = now is not MISSING
    return Field(
        path=tuple(path), existed=existed, before=now if existed else None, intended=intended, created=found
    )


def apply(obj: Mapping[str, Any], fields: Sequence[Field]) -> dict[str, Any]:
    """A copy of the object with every field set as intended."""
    changed = deepcopy(dict(obj))
    for field in fields:
        _write(changed, field.path, deepcopy(field.intended))
    return changed


def decide(obj: Mapping[str, Any], field: Field) -> Decision:
    """Our value: restore. The value from before, or no entry to hold it: nothing. Somebody else's value: conflict."""
    now = read(obj, field.path)
    if now is not MISSING and now == field.intended:
        return Decision.NOTHING if field.existed and field.before == now else Decision.RESTORE
    if now is MISSING:
        entry_gone = any(
            isinstance(one, tuple) and read(obj, field.path[: n + 1]) is MISSING
            for n, one in enumerate(field.path[:-1])
        )
        return Decision.NOTHING if not field.existed or entry_gone else Decision.CONFLICT
    return Decision.NOTHING if field.existed and now == field.before else Decision.CONFLICT


def restore(obj: Mapping[str, Any], fields: Sequence[Field]) -> dict[str, Any]:
    """A copy of the object with the given fields as before; others are not changed."""
    changed = deepcopy(dict(obj))
    for field in reversed(fields):
        if field.existed:
            _write(changed, field.path, deepcopy(field.before))
        else:
            _remove(changed, field.path)
            for length in range(
                len(field.path) - 1, field.created, -1
            ):  # what was made to hold it, while empty
                inner = read(changed, field.path[:length])
                if inner is MISSING or inner:
                    break
                _remove(changed, field.path[:length])
    return changed


def merge_patch(old: Any, new: Any) -> dict[str, Any]:
    """The RFC 7396 merge patch that turns `old` into `new`; lists are replaced whole."""
    patch: dict[str, Any] = {key: None for key in old if key not in new}
    for key, value in new.items():
        if key not in old:
            patch[key] = value
        elif isinstance(value, Mapping) and isinstance(old[key], Mapping):
            inner = merge_patch(old[key], value)
            if inner:
                patch[key] = inner
        elif value != old[key]:
            patch[key] = value
    return patch


def _step(obj: Any, segment: Segment) -> Any:
    if isinstance(segment, tuple):
        key, value = segment
        entries = obj if isinstance(obj, list) else ()
        return next((one for one in entries if isinstance(one, Mapping) and one.get(key) == value), MISSING)
    return obj.get(segment, MISSING) if isinstance(obj, Mapping) else MISSING


def _write(obj: Any, path: Sequence[Segment], value: Any) -> None:
    for segment, following in pairwise(path):
        inner = _step(obj, segment)
        if inner is MISSING or inner is None:
            inner = [] if isinstance(following, tuple) else {}
            _put(obj, segment, inner)
        obj = inner
    _put(obj, path[-1], value)


def _put(obj: Any, segment: Segment, value: Any) -> None:
    if not isinstance(segment, tuple):
        obj[segment] = value
        return
    key, name = segment
    entry = {key: name, **value} if isinstance(value, Mapping) else value
    for index, one in enumerate(obj):
        if one.get(key) == name:
            obj[index] = entry
            return
    obj.append(entry)


def _remove(obj: Any, path: Sequence[Segment]) -> None:
    if read(obj, path) is MISSING:
        return  # it went with another field: journals of 0.1.0 may hold a shared volume twice
    parent = read(obj, path[:-1])
    last = path[-1]
    if isinstance(last, tuple):
        parent[:] = [one for one in parent if one.get(last[0]) != last[1]]
    else:
        del parent[last]
