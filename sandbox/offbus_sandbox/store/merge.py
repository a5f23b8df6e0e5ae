"""JSON merge patch (RFC 7396), as the API server applies it. Pure: changes neither argument."""

from collections.abc import Mapping
from typing import Any

__all__ = ["merge"]


def merge(target: Any, patch: Any) -> Any:
    """`target` with `patch` applied: mappings merge, null removes, everything else (lists too) replaces."""
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged
