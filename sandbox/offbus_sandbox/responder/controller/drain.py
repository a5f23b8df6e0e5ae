"""Which pods must leave a quarantined node, and how. Pure: decides from pod objects; the controller acts.

NVSentinel's node-drainer: system namespaces, DaemonSet pods, static pods, finished pods and pods that have
not been ready for long are ignored. The order is Immediate, DeleteAfterTimeout, AllowCompletion: a
group starts when the previous one is gone. Differences: no partial drain of single GPUs; an eviction's grace is the
pod's own.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from offbus_sandbox.responder.config import ResponderConfig
from offbus_steps.nvsentinel.drain_rules import DrainMode, is_left_alone
from offbus_steps.port import Object

__all__ = ["DrainGroup", "forgotten_in", "next_group"]


@dataclass(frozen=True, slots=True)
class DrainGroup:
    """The pods to drain next, and how."""

    mode: DrainMode
    pods: Sequence[Object]

    def __str__(self) -> str:
        """As NVSentinel lists pods in its Events."""
        names = (f"{p['metadata']['namespace']}/{p['metadata']['name']}" for p in self.pods)
        return f"[{' '.join(sorted(names))}]"


def next_group(
    pods: Iterable[Object], node: str, config: ResponderConfig, now: datetime
) -> DrainGroup | None:
    """The first group that still has pods on the node; None when it is drained."""
    here = [pod for pod in pods if pod.get("spec", {}).get("nodeName") == node]
    waited_for = [pod for pod in here if _must_leave(pod, config, now)]
    for mode in DrainMode:
        group = [pod for pod in waited_for if config.drain_mode(pod["metadata"]["namespace"]) is mode]
        if group:
            return DrainGroup(mode, group)
    return None


def forgotten_in(group: DrainGroup, config: ResponderConfig, now: datetime) -> float | None:
    """Seconds until an unready pod of the group is ignored; None when all are ready."""
    since = [moment for pod in group.pods if (moment := _unready_since(pod)) is not None]
    ignored_before = now - timedelta(seconds=config.not_ready_timeout_s)
    return (min(since) - ignored_before).total_seconds() if since else None


def _must_leave(pod: Mapping[str, Any], config: ResponderConfig, now: datetime) -> bool:
    if is_left_alone(pod) or re.search(config.system_namespaces, pod["metadata"]["namespace"]):
        return False
    since = _unready_since(pod)
    return since is None or since > now - timedelta(seconds=config.not_ready_timeout_s)


def _unready_since(pod: Mapping[str, Any]) -> datetime | None:
    for condition in pod.get("status", {}).get("conditions") or []:
        if condition.get("type") == "Ready" and condition.get("status") == "False":
            changed = condition.get("lastTransitionTime")
            return datetime.fromisoformat(changed) if changed else None
    return None
