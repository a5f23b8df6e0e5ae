"""A pod's status, as the kubelet reports it. Pure functions of the containers' statuses."""

from collections.abc import Mapping, Sequence
from typing import Any

from offbus_sandbox.store.conditions import Status, condition, with_condition
from offbus_sandbox.store.rules import now
from offbus_steps.port import Object

__all__ = ["pod_status"]


def pod_status(
    pod: Object, ip: str, containers: Sequence[Status], inits: Sequence[Status], *, initialized: bool
) -> Status:
    """The whole status of a pod on a node; conditions of other owners stay."""
    old = pod.get("status", {})
    ending = "deletionTimestamp" in pod["metadata"]
    ready = bool(containers) and all(c["ready"] for c in containers) and not ending
    conditions = old.get("conditions", [])
    for new in (
        condition("Initialized", initialized),
        condition("ContainersReady", ready),
        condition("Ready", ready),
    ):
        conditions = with_condition(conditions, new)
    status = {
        **old,
        "phase": phase(pod, containers, inits),
        "conditions": conditions,
        "hostIP": "127.0.0.1",
        "podIP": ip,
        "podIPs": [{"ip": ip}],
        "startTime": old.get("startTime") or now(),
        "containerStatuses": list(containers),
    }
    return {**status, "initContainerStatuses": list(inits)} if inits else status


def phase(pod: Object, containers: Sequence[Status], inits: Sequence[Status]) -> str:
    """Kubernetes' pod phase."""
    if failed(inits):
        return "Failed"
    states = [c["state"] for c in containers]
    if states and all("terminated" in s for s in states) and pod["spec"]["restartPolicy"] != "Always":
        return "Failed" if failed(containers) else "Succeeded"
    begun = any(
        "running" in c["state"] or c["restartCount"] or "terminated" in c["state"] for c in containers
    )
    return "Running" if begun else "Pending"


def failed(statuses: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a container has failed and will not be restarted."""
    return any(s["state"].get("terminated", {}).get("exitCode", 0) for s in statuses)
