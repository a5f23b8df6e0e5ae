"""Conditions in a status, as in Kubernetes: one of each type, with the time of its last transition."""

from collections.abc import Sequence
from typing import Any

from offbus_sandbox.store.rules import now

__all__ = ["Status", "condition", "with_condition"]

Status = dict[str, Any]


def condition(kind: str, value: bool, reason: str = "", message: str = "") -> Status:
    """A condition without its time."""
    made = {"type": kind, "status": "True" if value else "False"}
    if reason:
        made |= {"reason": reason, "message": message}
    return made


def with_condition(conditions: Sequence[Status], new: Status) -> list[Status]:
    """`conditions` with `new` in it; its transition time moves only when its status does."""
    old = next((c for c in conditions if c["type"] == new["type"]), None)
    at = old["lastTransitionTime"] if old and old["status"] == new["status"] else now()
    return [*(c for c in conditions if c["type"] != new["type"]), {**new, "lastTransitionTime": at}]
