"""Facts about one Pod (or a pod template): pure functions over Kubernetes' own shapes.

They never guess: what an object does not contain is None or empty.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from offbus.errors import StepError
from offbus_steps.workloads.quantity import whole

__all__ = [
    "DEVICES_ANNOTATION",
    "GPU_RESOURCE",
    "amount",
    "containers",
    "env_value",
    "gpu_request",
    "held_gpus",
    "http_port",
    "is_finished",
    "is_ready",
    "is_terminating",
]

GPU_RESOURCE = "nvidia.com/gpu"
"""The extended resource of the NVIDIA device plugin."""

DEVICES_ANNOTATION = "dgxc.nvidia.com/devices"
"""Which GPUs a pod holds, as NVSentinel's partial drain reads it: '{"devices":{"nvidia.com/gpu":["GPU-…"]}}'
(reference/nvsentinel.md, section 4)."""


def containers(spec: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The containers of a PodSpec, without init containers."""
    yield from spec.get("containers") or ()


def gpu_request(spec: Mapping[str, Any]) -> int:
    """How many whole GPUs a PodSpec requests; limits count as requests, as for every extended resource.

    Raises StepError for an amount that Kubernetes would not take.
    """
    total = 0
    for one in containers(spec):
        resources = one.get("resources") or {}
        amounts = {**(resources.get("requests") or {}), **(resources.get("limits") or {})}
        total += amount(amounts, GPU_RESOURCE, f"container {one.get('name', '')}")
    return total


def amount(amounts: Mapping[str, Any], resource: str, where: str) -> int:
    """How many of an indivisible resource; absent is none. Raises StepError saying where it is no whole number."""
    try:
        return whole(amounts.get(resource))
    except ValueError as err:
        raise StepError(f"{where}: {resource} is no amount: {err}", hint="GPUs are whole numbers") from err


def held_gpus(pod: Mapping[str, Any]) -> tuple[str, ...]:
    """UUIDs of the GPUs that the pod holds, by its annotation, else by its containers' `allocatedResourcesStatus`
    (Kubernetes' feature ResourceHealthStatus); empty when it has neither."""
    text = (pod["metadata"].get("annotations") or {}).get(DEVICES_ANNOTATION, "")
    try:
        devices = json.loads(text)["devices"][GPU_RESOURCE]
    except (ValueError, RecursionError, KeyError, TypeError):
        devices = [
            one["resourceID"]
            for container in (pod.get("status") or {}).get("containerStatuses") or ()
            for resource in container.get("allocatedResourcesStatus") or ()
            if resource.get("name") == GPU_RESOURCE
            for one in resource.get("resources") or ()
        ]
    return tuple(str(uuid) for uuid in devices) if isinstance(devices, list) else ()


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Whether the pod's Ready condition is True and it is not being deleted."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    ready = any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)
    return ready and not is_terminating(pod)


def is_terminating(pod: Mapping[str, Any]) -> bool:
    """Whether the pod's deletion has been asked for."""
    return bool(pod["metadata"].get("deletionTimestamp"))


def is_finished(pod: Mapping[str, Any]) -> bool:
    """Whether the pod has ended and released its resources."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def env_value(container: Mapping[str, Any], name: str) -> str | None:
    """The literal value of a container's environment variable; None when absent or taken from elsewhere."""
    for entry in container.get("env") or ():
        if entry.get("name") == name:
            value = entry.get("value")
            return None if value is None else str(value)
    return None


def http_port(spec: Mapping[str, Any]) -> int | None:
    """The port that a pod serves HTTP on: the one named "http", else its only port; None when there is none."""
    ports = [port for one in containers(spec) for port in one.get("ports") or ()]
    named = [port for port in ports if port.get("name") == "http"]
    chosen = named or (ports if len(ports) == 1 else [])
    return int(chosen[0]["containerPort"]) if chosen else None
