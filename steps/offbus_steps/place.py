"""Where a fault goes: which pod, which node, which GPUs, and whether it may.

The default node is that of the first ready pod of the target, by name, that asks for GPUs; the default GPUs are those
that this pod holds, never all of the node. Refused (GuardRefused, exit 3) is a node with another tenant's pods, and a
fault whose evictions would not fit elsewhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from offbus.errors import GuardRefused, StepError, StepFailed
from offbus_steps import pods
from offbus_steps.capacity import unplaced
from offbus_steps.cluster import Cluster
from offbus_steps.guards import SYSTEM_NAMESPACES
from offbus_steps.port import NotFound, Object
from offbus_steps.preload import is_loaded_with
from offbus_steps.target import Target, target_pods
from offbus_steps.undos.restart import Holder
from offbus_steps.views import PodView

__all__ = ["Place", "find_place", "require_evictable", "require_prepared", "require_still_there"]


@dataclass(frozen=True, slots=True)
class Place:
    """The target of a fault, resolved."""

    pod: PodView
    node: str
    gpus: tuple[str, ...]
    holders: Mapping[str, PodView]
    """Which of the target's pods on the node holds each of the GPUs."""

    @property
    def restartable(self) -> tuple[Holder, ...]:
        """The holders, each once, as the undo needs them."""
        unique = {pod.uid: pod for pod in self.holders.values()}
        return tuple(
            Holder(name=p.ref.name, namespace=p.ref.namespace, uid=p.uid, restarts=p.restarts)
            for p in unique.values()
        )


def find_place(cluster: Cluster, target: Target, node: str | None, gpus: Sequence[str] | None) -> Place:
    """Resolve node and GPUs now. Raises StepFailed when the target is not on `node`, StepError for what is missing."""
    ready = [pod for pod in target_pods(cluster.log.world, target) if pod.ready and pod.gpus]
    here = [pod for pod in ready if node in (None, pod.node)]
    if not here:
        raise _nowhere(target, node, sorted({pod.node for pod in ready}))
    pod = here[0]
    chosen = tuple(gpus) if gpus else pod.devices
    if not chosen:
        raise StepError(
            f"which GPUs {pod.ref} holds is not known: it has no annotation {pods.DEVICES_ANNOTATION}",
            hint="give `gpus` (UUIDs)",
        )
    holders = {gpu: one for one in here if one.node == pod.node for gpu in one.devices if gpu in chosen}
    return Place(pod, pod.node, chosen, holders)


def _nowhere(target: Target, node: str | None, nodes: Sequence[str]) -> StepFailed | StepError:
    """Nothing was changed yet. The world is not as the scenario says, unless the target has no place at all."""
    where = f" on {node}" if node else ""
    message = f"{target} has no ready pod that asks for GPUs{where}"
    if not nodes:
        return StepError(message, hint="wait until it is ready, or use a workload that asks for GPUs")
    return StepFailed(
        f"{message}; it has some on {', '.join(nodes)}", evidence={"node": node, "pods_on": list(nodes)}
    )


async def require_still_there(cluster: Cluster, place: Place) -> Object:
    """Read the pod again just before the injection. Raises StepError when it moved or is not ready any more."""
    try:
        pod = await cluster.port.objects.get(place.pod.ref)
    except NotFound as err:
        raise StepError(f"{place.pod.ref} is gone", hint="the target is not stable; run again") from err
    same = pod["metadata"]["uid"] == place.pod.uid and (pod["spec"].get("nodeName") == place.node)
    if not same or not pods.is_ready(pod):
        raise StepError(
            f"{place.pod.ref} has moved from {place.node} or is not ready any more", hint="run again"
        )
    return pod


def require_prepared(pod: Object) -> None:
    """Raises StepError when the shim is not in the pod: its calls could not be faulted."""
    if not any(is_loaded_with(container) for container in pods.containers(pod["spec"])):
        raise StepError(
            f"Pod {pod['metadata']['name']} runs without the shim: CUDA and NVML calls cannot be faulted",
            hint="put a `prepare_cuda` step before",
        )


async def require_evictable(cluster: Cluster, node: str) -> None:
    """Raises GuardRefused when a cordon and drain of the node would hurt others or leave pods without a place."""
    everything = [*(await cluster.port.objects.list("Pod")).items]
    going = [pod for pod in everything if (pod.get("spec") or {}).get("nodeName") == node and _would_go(pod)]
    foreign = [
        pod
        for pod in going
        if not (cluster.guards.allows_namespace(pod["metadata"]["namespace"]) or _is_reaper(pod))
    ]
    if foreign:
        raise GuardRefused(
            f"guard namespaces: {node} also runs {_names(foreign)}, outside {', '.join(cluster.guards.namespaces)}",
            hint="use a node of the drill's own, or widen guards.namespaces",
        )
    others = [
        one for one in (await cluster.port.objects.list("Node")).items if one["metadata"]["name"] != node
    ]
    missing = unplaced([pod["spec"] for pod in going], others, [p for p in everything if p not in going])
    if missing:
        raise GuardRefused(
            f"what would be evicted from {node} does not fit elsewhere: missing {', '.join(missing)}",
            hint="free GPUs on other nodes, or scale the target down",
        )


def _would_go(pod: Mapping[str, Any]) -> bool:
    """Whether a drain evicts the pod: not a DaemonSet's, not the system's, not a mirror of a static pod."""
    meta = pod["metadata"]
    owners = {one["kind"] for one in meta.get("ownerReferences") or ()}
    mirror = "kubernetes.io/config.mirror" in (meta.get("annotations") or {})
    system = meta["namespace"] in SYSTEM_NAMESPACES
    return not (
        mirror or system or "DaemonSet" in owners or pods.is_finished(pod) or pods.is_terminating(pod)
    )


def _is_reaper(pod: Mapping[str, Any]) -> bool:
    """A reaper that is evicted ends nothing: the next one begins anew (deploy/base/reaper.yaml)."""
    return (pod["metadata"].get("labels") or {}).get("app.kubernetes.io/name") == "offbus-reaper"


def _names(found: Sequence[Mapping[str, Any]]) -> str:
    names = sorted(f"{pod['metadata']['namespace']}/{pod['metadata']['name']}" for pod in found)
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
