"""Whose a GPU is, among the pods of a node, before a fault is aimed at it. Pure.

A pod's annotation may be written by whoever may edit pods in its namespace; its status by the kubelet alone, and
another namespace's pods not at all. So a pod that says something else of itself than the kubelet, or that claims more
GPUs than it requests, is refused; and so is a GPU that a pod claims which is not the target's. A GPU that is shared
(time-slicing, ids `UUID::N`) has several holders, who share its faults. Where the kubelet tells no devices
(ResourceHealthStatus is off) and other pods have no annotation either, the annotation is all that is known.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from offbus.errors import StepError
from offbus_steps.port import Ref
from offbus_steps.workloads import pods
from offbus_steps.workloads.gpus import (
    DEVICES_ANNOTATION,
    WHOLE_GPUS,
    gpu_request,
    noted_devices,
    told_devices,
)

__all__ = ["claim_conflict", "claim_flaw"]


def claim_flaw(pod: Mapping[str, Any]) -> str | None:
    """Why a pod is not to be believed about its GPUs; None when it may be. Raises StepError, as `gpu_request`."""
    noted, told = noted_devices(pod), told_devices(pod)
    here, requested = _ref(pod), gpu_request(pod["spec"])
    if noted and told and _uuids(noted) != _uuids(told):
        return (
            f"{here}: its annotation {DEVICES_ANNOTATION} names {_named(noted)}, but the kubelet says that it holds "
            f"{_named(told)}"
        )
    if len(noted) > requested:
        return (
            f"{here}: its annotation {DEVICES_ANNOTATION} names {_named(noted)}, but it requests {requested}"
        )
    return None


def claim_conflict(gpu: str, here: Iterable[Mapping[str, Any]], target: Collection[str]) -> str | None:
    """Why a fault on a GPU would hit a pod that is not meant; None when it would not.

    `here` are the pods of the GPU's node, `target` the uids of the pods among them that are meant.
    """
    claims = [(pod, devices) for pod in here if gpu in _uuids(devices := _claimed(pod))]
    shared = True
    for pod, devices in claims:
        limits = [(one.get("resources") or {}).get("limits") or {} for one in pods.containers(pod["spec"])]
        asks_for_a_share = any(amounts.get(WHOLE_GPUS[1]) for amounts in limits)
        shared &= asks_for_a_share or any(one.startswith(f"{gpu}::") for one in devices)
    others = [pod for pod, _ in claims if pod["metadata"]["uid"] not in target]
    if shared or (len(claims) < 2 and not others):
        return None
    return (
        f"{gpu} is claimed by {', '.join(sorted(_ref(pod) for pod in others or [pod for pod, _ in claims]))}"
    )


def _claimed(pod: Mapping[str, Any]) -> list[str]:
    """By id. What is not to be believed is no claim; where the kubelet tells only some yet, the annotation counts."""
    if pods.is_finished(pod):
        return []
    told, noted = told_devices(pod), noted_devices(pod)
    try:
        requested = gpu_request(pod["spec"])
    except StepError:
        return told
    return told if len(told) >= requested or len(noted) > requested else [*told, *noted]


def _uuids(devices: Iterable[str]) -> set[str]:
    return {one.partition("::")[0] for one in devices}


def _named(devices: Iterable[str]) -> str:
    return ", ".join(sorted(_uuids(devices)))


def _ref(pod: Mapping[str, Any]) -> str:
    meta = pod["metadata"]
    return str(Ref("Pod", meta["name"], meta["namespace"]))
