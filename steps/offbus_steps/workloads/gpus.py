"""Which containers of a pod hold NVIDIA GPUs, how many, and which.

Whole GPUs are requested as `nvidia.com/gpu`, or `nvidia.com/gpu.shared` where the device plugin renames those that it
shares (its `renameByDefault`); the ids of shared ones are `UUID::N` (NVIDIA/k8s-device-plugin, internal/rm). Whoever
shares a GPU shares its faults. Parts of a GPU (`nvidia.com/mig-…`, ids `MIG-…`) and ResourceClaims (DRA) are seen and
refused by their own names: a fault is aimed at a whole GPU by its UUID, and neither says which that is. Pure.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from offbus.errors import StepError
from offbus_steps.workloads import pods
from offbus_steps.workloads.quantity import whole
from offbus_steps.workloads.requests import pod_requests, requested

__all__ = [
    "DEVICES_ANNOTATION",
    "GPU_RESOURCE",
    "WHOLE_GPUS",
    "allocatable_gpus",
    "amount",
    "gpu_containers",
    "gpu_request",
    "gpus_needed",
    "gpus_of",
    "held_gpus",
    "is_part",
    "main_container",
    "noted_devices",
    "other_gpus",
    "refusal",
    "told_devices",
]

GPU_RESOURCE = "nvidia.com/gpu"
"""The extended resource of the NVIDIA device plugin."""
WHOLE_GPUS = (GPU_RESOURCE, f"{GPU_RESOURCE}.shared")
"""The resources whose units are GPUs that a fault can be aimed at."""
DEVICES_ANNOTATION = "dgxc.nvidia.com/devices"
"""Which GPUs a pod holds, as NVSentinel's partial drain reads it: '{"devices":{"nvidia.com/gpu":["GPU-…"]}}'
(reference/nvsentinel.md, section 4)."""
MOST_DEVICES, LONGEST_ID = 128, 128
"""Of one pod, and characters of one: 16 GPUs, each in 7 parts; `MIG-GPU-UUID/7/0` of old drivers has 50 characters."""
DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"
"""Names the container that a pod is about; meshes set it, as their proxies come first."""

_PART = re.compile(r"nvidia\.com/mig-.+")


def gpu_containers(spec: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The containers of a PodSpec that hold GPUs while the pod runs, with the field that lists each."""
    return ((field, one) for field, one in pods.listed_containers(spec) if gpus_of(one))


def gpu_request(spec: Mapping[str, Any]) -> int:
    """How many GPUs a PodSpec's containers hold while the pod runs. Raises StepError, as `gpus_of`."""
    return sum(gpus_of(one) for one in pods.containers(spec))


def gpus_needed(spec: Mapping[str, Any]) -> int:
    """How many GPUs of one node a PodSpec takes, as the scheduler counts: more than `gpu_request` where an init
    container needs more. Raises StepError, as `gpus_of`."""
    needed = pod_requests(spec)
    return sum(int(needed.get(one, 0)) for one in WHOLE_GPUS)


def gpus_of(container: Mapping[str, Any]) -> int:
    """How many GPUs one container requests; limits are requests, as for every extended resource.

    Raises StepError for an amount that Kubernetes would not take.
    """
    asked = requested(container)
    return sum(amount(asked, one, f"container {container.get('name', '')}") for one in WHOLE_GPUS)


def other_gpus(spec: Mapping[str, Any]) -> tuple[str, ...]:
    """What a PodSpec requests that may be GPUs and cannot be targeted: parts of GPUs, and claims; by name."""
    found: dict[str, None] = {}
    for one in pods.containers(spec):
        found |= dict.fromkeys(name for name in requested(one) if _PART.fullmatch(name))
        claims = (one.get("resources") or {}).get("claims") or ()
        found |= dict.fromkeys(f"ResourceClaim {claim.get('name', '')}" for claim in claims)
    return tuple(found)


def is_part(device: str) -> bool:
    """Whether a device that a pod holds is a part of a GPU."""
    return device.startswith("MIG-")


def refusal(what: object, others: Iterable[str], without: str = "requests no GPUs") -> StepError:
    """Why a workload or pod that holds no whole GPU cannot be drilled. `others`: see `other_gpus`."""
    names = ", ".join(dict.fromkeys(others))
    if not names:
        return StepError(f"{what} {without}", hint=f"a drill needs a workload that requests {GPU_RESOURCE}")
    return StepError(
        f"{what} requests {names}: a fault is aimed at whole GPUs, and that does not say which they are",
        hint=f"let it request {GPU_RESOURCE} of NVIDIA's device plugin for the drill, on nodes without MIG",
    )


def held_gpus(pod: Mapping[str, Any]) -> tuple[str, ...]:
    """The GPUs that the pod holds, as the kubelet tells, else by its annotation: UUIDs, each once, also of a shared
    GPU; `MIG-…` for a part of one. Empty when it has neither. Whether they are its own: see `gpu_claims`.

    Whoever edits the pod may write anything: the first MOST_DEVICES, each to its first LONGEST_ID characters.
    """
    listed = told_devices(pod) or noted_devices(pod)
    each = dict.fromkeys(device.partition("::")[0][:LONGEST_ID] for device in listed)
    return tuple(each)[:MOST_DEVICES]


def told_devices(pod: Mapping[str, Any]) -> list[str]:
    """The ids of the devices in its containers' `allocatedResourcesStatus` (Kubernetes' feature ResourceHealthStatus),
    which only the kubelet writes."""
    return [
        str(one["resourceID"])
        for status in pods.statuses(pod)
        for resource in status.get("allocatedResourcesStatus") or ()
        if resource.get("name") in WHOLE_GPUS
        for one in resource.get("resources") or ()
    ]


def noted_devices(pod: Mapping[str, Any]) -> list[str]:
    """The ids of the devices in its annotation, which whoever may edit the pod can write."""
    noted = (pod["metadata"].get("annotations") or {}).get(DEVICES_ANNOTATION, "")
    try:
        devices = json.loads(noted)["devices"]
        lists = [devices.get(name) for name in WHOLE_GPUS]
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return []
    return [str(one) for found in lists if isinstance(found, list) for one in found]


def allocatable_gpus(node: Mapping[str, Any]) -> int:
    """How many GPUs a node offers. Raises StepError, as `gpus_of`."""
    offered = (node.get("status") or {}).get("allocatable") or {}
    return sum(amount(offered, one, f"Node {node['metadata']['name']}") for one in WHOLE_GPUS)


def amount(amounts: Mapping[str, Any], resource: str, where: str) -> int:
    """How many of an indivisible resource; absent is none. Raises StepError saying where it is no whole number."""
    try:
        return whole(amounts.get(resource))
    except ValueError as err:
        raise StepError(f"{where}: {resource} is no amount: {err}", hint="GPUs are whole numbers") from err


def main_container(pod: Mapping[str, Any]) -> str:
    """The container that a pod is about: the first that holds GPUs, else `main` as Dynamo's operator calls it, else the
    one that its annotation names, else its first."""
    spec = pod.get("spec") or {}
    names = [str(one["name"]) for one in pods.containers(spec)]
    wished = ((pod.get("metadata") or {}).get("annotations") or {}).get(DEFAULT_CONTAINER)
    holders = [str(one["name"]) for _, one in gpu_containers(spec)]
    return next(one for one in (*holders, "main", wished, *names) if one in names)
