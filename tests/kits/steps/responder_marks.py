"""What a responder writes on a node, as patches of it: NVSentinel's shapes (nvsentinel-observed.md), for any event."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
from anyio.abc import TaskStatus

from offbus_steps.nvsentinel import names
from offbus_steps.port import Objects, Ref, WatchType

__all__ = [
    "cancelled",
    "condition_of",
    "event",
    "finding",
    "lifted",
    "quarantined",
    "repair",
    "reported",
    "state",
    "taking_uncordons",
]


def event(
    code: str = "79",
    uuid: str = "GPU-1",
    *,
    pci: str = "",
    check: str = names.XID_CHECK,
    action: int = 24,
    id: str = "e1",  # noqa: A002  the field's name
) -> dict[str, Any]:
    """One health event as in the annotation: a numeric action, and no false fields."""
    entities = [{"entityType": "PCI", "entityValue": pci}] if pci else []
    entities += [{"entityType": "GPU_UUID", "entityValue": uuid}] if uuid else []
    return {
        "version": 1,
        "agent": "syslog-health-monitor",
        "componentClass": "GPU",
        "checkName": check,
        "isFatal": True,
        "message": "MESSAGE=said",
        "recommendedAction": action,
        "errorCode": [code],
        "entitiesImpacted": entities,
        "generatedTimestamp": {"seconds": 1, "nanos": 2},
        "nodeName": "node-1",
        "processingStrategy": 1,
        "id": id,
    }


def finding(
    code: str = "79",
    uuid: str = "GPU-1",
    *,
    pci: str = "",
    action: str = "RESTART_BM",
    said: str = "MESSAGE=offbus=x .NVRM: Xid said",
) -> str:
    """An entry of a condition's message. `said`: the record of the kernel log, as the responder repeats it."""
    words = [f"ErrorCode:{code}", *([f"PCI:{pci}"] if pci else []), *([f"GPU_UUID:{uuid}"] if uuid else [])]
    return f"{' '.join(words)} {said} Recommended Action={action};"


def condition_of(*entries: str, check: str = names.XID_CHECK) -> dict[str, Any]:
    """The condition with these entries; healthy without any."""
    status, reason = ("True", names.UNHEALTHY_SUFFIX) if entries else ("False", names.HEALTHY_SUFFIX)
    message = "".join(entries) or "No Health Failures"
    return {"type": check, "status": status, "reason": f"{check}{reason}", "message": message}


def reported(entry: str, *, name: str = "node-1.1", node: str = "node-1", count: int = 1) -> dict[str, Any]:
    """The Event about a fault that is not fatal."""
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": "default"},
        "involvedObject": {"kind": "Node", "name": node},
        "type": names.XID_CHECK,
        "reason": f"{names.XID_CHECK}{names.UNHEALTHY_SUFFIX}",
        "message": entry,
        "count": count,
    }


def quarantined(*events: dict[str, Any], cordoned_before: bool = False) -> dict[str, Any]:
    """The patch by which a node is quarantined for these."""
    annotations = {names.QUARANTINE_EVENTS: json.dumps(list(events)), names.CORDONED_ANNOTATION: "True"}
    if cordoned_before:
        annotations[names.CORDON_PRE_EXISTING] = "True"
    labels = {names.STATE_LABEL: "quarantined"} | ({} if cordoned_before else {names.CORDON_BY: "NVSentinel"})
    return {"metadata": {"labels": labels, "annotations": annotations}, "spec": {"unschedulable": True}}


def state(value: str) -> dict[str, Any]:
    """The patch of the state label."""
    return {"metadata": {"labels": {names.STATE_LABEL: value}}}


def lifted() -> dict[str, Any]:
    """The patch by which the responder ends its quarantine."""
    gone = (names.QUARANTINE_EVENTS, names.CORDONED_ANNOTATION, names.CORDON_PRE_EXISTING)
    labels = {names.STATE_LABEL: None, names.CORDON_BY: None, names.UNCORDON_BY: "NVSentinel"}
    return {
        "metadata": {"labels": labels, "annotations": dict.fromkeys(gone)},
        "spec": {"unschedulable": None},
    }


def cancelled() -> dict[str, Any]:
    """The patch by which the responder answers a manual uncordon; the `cordon-*` labels stay."""
    gone = (
        names.QUARANTINE_EVENTS,
        names.CORDONED_ANNOTATION,
        names.CORDON_PRE_EXISTING,
        names.APPLIED_TAINTS,
    )
    annotations = {**dict.fromkeys(gone), names.MANUALLY_UNCORDONED: "True"}
    return {"metadata": {"labels": {names.STATE_LABEL: None}, "annotations": annotations}}


@asynccontextmanager
async def taking_uncordons(objects: Objects) -> AsyncIterator[None]:
    """A responder that takes the uncordon of a node whose annotations stand for a manual one."""

    async def answer(*, task_status: TaskStatus[None]) -> None:
        found = await objects.list("Node")
        cordoned = {one["metadata"]["name"] for one in found.items if one["spec"].get("unschedulable")}
        task_status.started()
        async for event in objects.watch("Node", resource_version=found.resource_version):
            if event.type is WatchType.BOOKMARK:
                continue
            name = event.object["metadata"]["name"]
            if (event.object.get("spec") or {}).get("unschedulable"):
                cordoned.add(name)
            elif name in cordoned:
                cordoned.discard(name)
                if names.CORDONED_ANNOTATION in (event.object["metadata"].get("annotations") or {}):
                    await objects.patch(Ref("Node", name), cancelled())

    async with anyio.create_task_group() as tasks:
        await tasks.start(answer)
        yield
        tasks.cancel_scope.cancel()


def repair(id: str = "e1", *, node: str = "node-1", kind: str = "RebootNode", **spec: Any) -> dict[str, Any]:  # noqa: A002
    """The maintenance resource for the event with that id."""
    return {
        "apiVersion": "janitor.dgxc.nvidia.com/v1alpha1",
        "kind": kind,
        "metadata": {
            "name": f"maintenance-{node}-{id}",
            "labels": {"app.kubernetes.io/managed-by": "nvsentinel"},
        },
        "spec": {"nodeName": node, **spec},
    }
