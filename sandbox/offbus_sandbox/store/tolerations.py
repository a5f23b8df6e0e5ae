"""Taints and tolerations: Kubernetes' rule, for the scheduler and the eviction by NoExecute taints. Pure functions."""

from collections.abc import Mapping
from typing import Any

__all__ = ["tolerated", "tolerates"]


def tolerates(spec: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    """Whether one of the pod's tolerations matches the taint."""
    return any(tolerated(t, taint) for t in spec.get("tolerations") or ())


def tolerated(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    """Kubernetes' rule: an empty key with Exists matches all, an empty effect matches all effects."""
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("operator") == "Exists":
        return not toleration.get("key") or toleration["key"] == taint["key"]
    same_key: bool = toleration.get("key") == taint["key"]
    return same_key and bool((toleration.get("value") or "") == (taint.get("value") or ""))
