"""How far a rolling update may go in one step: Kubernetes' rules (apps/v1 DeploymentStrategy) as pure functions.

Guarantees: never more than replicas + surge pods; never fewer than replicas - unavailable available ones. When both
are zero, unavailable becomes one, as the API's defaults do.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from offbus_steps.workloads.quantity import share

__all__ = ["Limits", "next_new", "next_old"]


@dataclass(frozen=True, slots=True)
class Limits:
    """How many extra pods there may be, and how many may be missing."""

    surge: int
    unavailable: int

    @classmethod
    def of(cls, strategy: Mapping[str, Any], replicas: int) -> "Limits":
        """From a Deployment's `spec.strategy`: counts or percentages; surge is rounded up, unavailable down."""
        if strategy.get("type") == "Recreate":
            return cls(0, replicas)
        rolling = strategy.get("rollingUpdate") or {}
        surge = share(rolling.get("maxSurge"), replicas, up=True)
        unavailable = share(rolling.get("maxUnavailable"), replicas, up=False)
        return cls(surge, unavailable if surge or unavailable else 1)


def next_new(replicas: int, limits: Limits, *, new: int, old: int) -> int:
    """How many pods the new template may have now."""
    room = replicas + limits.surge - old
    return max(min(replicas, room), min(new, replicas))


def next_old(replicas: int, limits: Limits, *, ready: int, old_ready: int, old: int) -> int:
    """How many pods the old templates may keep now: unready pods go first, then as many as may be missing."""
    not_ready = old - old_ready
    may_go = max(0, ready - (replicas - limits.unavailable))
    return max(0, old - not_ready - min(may_go, old_ready))
