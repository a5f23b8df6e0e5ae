"""What a responder still does to a node after a drill has ended: its marks, as they change."""

from typing import Any

from anyio import move_on_after

from offbus_steps.nvsentinel import names
from offbus_steps.port import Object, Objects, WatchType

__all__ = ["marks_of", "seen_for"]


def marks_of(node: Object) -> dict[str, Any]:
    """Everything of a node that a responder writes; an all-clear is nothing."""
    meta = node["metadata"]
    conditions = node["status"]["conditions"]
    return {
        "labels": names.quarantine_marks(meta.get("labels")),
        "annotations": names.quarantine_marks(meta.get("annotations")),
        "cordoned": bool(node["spec"].get("unschedulable")),
        "taints": node["spec"].get("taints") or [],
        "unhealthy": names.fault_conditions(conditions),
    }


async def seen_for(objects: Objects, name: str, seconds: float) -> list[dict[str, Any]]:
    """The states of a node within this time, one after another."""
    found = await objects.list("Node")
    seen = [marks_of(next(node for node in found.items if node["metadata"]["name"] == name))]
    with move_on_after(seconds):
        async for event in objects.watch("Node", resource_version=found.resource_version):
            if event.type is WatchType.BOOKMARK or event.object["metadata"]["name"] != name:
                continue
            if (now := marks_of(event.object)) != seen[-1]:
                seen.append(now)
    return seen
