"""A pod's status, as the kubelet reports it. Pure functions of the containers' statuses."""

from collections.abc import Mapping, Sequence
from typing import Any

from offbus_sandbox.store.conditions import Status, condition, with_condition
from offbus_sandbox.store.rules import now
from offbus_steps.port import Object
from offbus_steps.workloads.pods import is_sidecar

__all__ = ["pod_status"]


def pod_status(
    pod: Object, ip: str, containers: Sequence[Status], inits: Sequence[Status], *, initialized: bool
) -> Status:
    """The whole status of a pod on a node; conditions of other owners stay. `inits` are in the order of the spec."""
    old = pod.get("status", {})
    ending = "deletionTimestamp" in pod["metadata"]
    specs = pod["spec"].get("initContainers") or ()
    sidecars = [status for spec, status in zip(specs, inits, strict=True) if is_sidecar(spec)]
    ready = bool(containers) and all(c["ready"] for c in (*containers, *sidecars)) and not ending
    conditions = old.get("conditions", [])
    for new in (
        condition("Initialized", initialized),
        condition("ContainersReady", ready),
        condition("Ready", ready),
    ):
        conditions = with_condition(conditions, new)
    status = {
        **old,
        "phase": phase(pod, containers, [s for s in inits if s not in sidecars], sidecars),
        "conditions": conditions,
        "hostIP": "127.0.0.1",
        "podIP": ip,
        "podIPs": [{"ip": ip}],
        "startTime": old.get("startTime") or now(),
        "containerStatuses": list(containers),
    }
    return {**status, "initContainerStatuses": list(inits)} if inits else status


def phase(
    pod: Object, containers: Sequence[Status], inits: Sequence[Status], sidecars: Sequence[Status] = ()
) -> str:
    """Kubernetes' pod phase: how sidecars end does not matter, but they have to end first."""
    if failed(inits):
        return "Failed"
    states = [c["state"] for c in containers]
    over = all("terminated" in s for s in states) and not any("running" in s["state"] for s in sidecars)
    if states and over and pod["spec"]["restartPolicy"] != "Always":
        return "Failed" if failed(containers) else "Succeeded"
    begun = any(
        "running" in c["state"] or c["restartCount"] or "terminated" in c["state"] for c in containers
    )
    return "Running" if begun else "Pending"


def failed(statuses: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a container has failed and will not be restarted."""
    return any(s["state"].get("terminated", {}).get("exitCode", 0) for s in statuses)
