"""Resolves where a fault goes (offbus_steps.inject.selector): one place for each node, with its pod and its GPUs.

A place may be refused later by the guards (offbus_steps.inject.blast_radius); here only the world is asked. A node
without a ready GPU pod of the target is StepFailed: the world is not as the scenario says.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from offbus.errors import StepError, StepFailed
from offbus_steps.cluster.cluster import Cluster
from offbus_steps.inject.selector import OWN_DOMAIN, WhereParams
from offbus_steps.inject.undo_restart import Holder
from offbus_steps.port import NotFound, Object, Ref
from offbus_steps.watch.projections import PodProjection
from offbus_steps.watch.target_pods import target_pods
from offbus_steps.workloads import pods
from offbus_steps.workloads.shim_fields import NO_DRA, is_loaded_with
from offbus_steps.workloads.target import Target

__all__ = ["Location", "find_locations", "require_prepared", "require_still_there"]

DOMAIN_LABEL = "nvidia.com/gpu.clique"
"""The NVLink domain and partition of a node's GPUs, by NVIDIA's GPU Feature Discovery."""


@dataclass(frozen=True, slots=True)
class Location:
    """One node of the target, resolved."""

    pod: PodProjection
    node: str
    gpus: tuple[str, ...]
    holders: Mapping[str, PodProjection]
    """Which of the target's pods on the node holds each of the GPUs."""

    @property
    def pods(self) -> tuple[PodProjection, ...]:
        """The holders, each once; the first pod where no pod of the target holds the GPUs."""
        unique = {pod.uid: pod for pod in self.holders.values()}
        return tuple(unique.values()) or (self.pod,)

    @property
    def restartable(self) -> tuple[Holder, ...]:
        """The holders, each once, as the undo needs them."""
        unique = {pod.uid: pod for pod in self.holders.values()}
        return tuple(
            Holder(name=p.ref.name, namespace=p.ref.namespace, uid=p.uid, restarts=p.restarts)
            for p in unique.values()
        )


async def find_locations(cluster: Cluster, target: Target, where: WhereParams) -> list[Location]:
    """Resolve nodes and GPUs now. Raises StepFailed when the target is not there, StepError for what is missing."""
    ready = [pod for pod in target_pods(cluster.log.world, target) if pod.ready and pod.gpus]
    if not ready:
        raise StepError(
            f"{target} has no ready pod that asks for GPUs",
            hint=f"wait until it is ready; {NO_DRA}",
        )
    nodes = await _nodes(cluster, target, ready, where)
    locations = [await _location(cluster, ready, node, where) for node in nodes]
    _require_all_named(where, locations)
    return [location for location in locations if location.gpus]


async def _nodes(
    cluster: Cluster, target: Target, ready: Sequence[PodProjection], where: WhereParams
) -> list[str]:
    on = list(dict.fromkeys(pod.node for pod in ready))
    if where.node is not None or where.nodes is not None:
        named = [where.node] if where.node is not None else list(dict.fromkeys(where.nodes or ()))
        for node in named:
            if node not in on:
                raise _nowhere(target, f"on {node}", on)
        found = named
    elif not where.many:
        return _holding(ready, where.gpus) or on[:1]
    else:
        found = on
    found = await _labelled(cluster, target, found, where)
    return found[: _wanted(len(found), where.node_count, where.node_percent, f"nodes of {target}")]


def _holding(ready: Sequence[PodProjection], gpus: Sequence[str | int] | None) -> list[str]:
    """The nodes on which pods of the target hold GPUs that are given by UUID."""
    return list(dict.fromkeys(pod.node for pod in ready if set(pod.devices) & set(gpus or ())))


async def _labelled(cluster: Cluster, target: Target, nodes: list[str], where: WhereParams) -> list[str]:
    """Those with the wanted labels, and of the wanted NVLink domain."""
    selector = [where.node_label] if where.node_label else []
    if where.nvlink_domain is not None:
        selector.append(f"{DOMAIN_LABEL}={await _domain(cluster, where.nvlink_domain, nodes[0])}")
    if not selector:
        return nodes
    labels = ",".join(selector)
    listed = (await cluster.port.objects.list("Node", labels=labels)).items
    names = {one["metadata"]["name"] for one in listed}
    found = [node for node in nodes if node in names]
    if not found:
        raise _nowhere(target, f"on a node with {labels}", nodes)
    return found


async def _domain(cluster: Cluster, wanted: str, first: str) -> str:
    if wanted != OWN_DOMAIN:
        return wanted
    node = await cluster.port.objects.get(Ref("Node", first))
    domain = (node["metadata"].get("labels") or {}).get(DOMAIN_LABEL)
    if not domain:
        raise StepError(
            f"{first} has no label {DOMAIN_LABEL}: its NVLink domain is not known",
            hint="GPU Feature Discovery sets it where GPUs share NVLink over nodes; or choose by node_label",
        )
    return str(domain)


async def _location(
    cluster: Cluster, ready: Sequence[PodProjection], node: str, where: WhereParams
) -> Location:
    here = [pod for pod in ready if pod.node == node]
    gpus = await _gpus(cluster, here, node, where)
    holders = {gpu: pod for pod in here for gpu in pod.devices if gpu in gpus}
    return Location(next(iter(holders.values()), here[0]), node, gpus, holders)


async def _gpus(
    cluster: Cluster, here: Sequence[PodProjection], node: str, where: WhereParams
) -> tuple[str, ...]:
    if where.gpus is not None:
        known = {int(gpu["index"]): str(gpu["uuid"]) for gpu in (await cluster.agents.health(node))["gpus"]}
        return _named(where.gpus, node, known)
    if where.gpu_count is None and where.gpu_percent is None:
        return _held(here[:1])
    held = _held(here)
    return held[
        : _wanted(len(held), where.gpu_count, where.gpu_percent, f"GPUs that the target holds on {node}")
    ]


def _named(gpus: Sequence[str | int], node: str, known: Mapping[int, str]) -> tuple[str, ...]:
    """Those of the given GPUs that the node has. Raises StepError for an index that it does not have."""
    found = []
    for gpu in gpus:
        if isinstance(gpu, int) and gpu not in known:
            raise StepError(f"{node} has no GPU {gpu}", hint=f"it has {', '.join(map(str, sorted(known)))}")
        uuid = known[gpu] if isinstance(gpu, int) else gpu
        if uuid in known.values():
            found.append(uuid)
    return tuple(dict.fromkeys(found))


def _held(here: Sequence[PodProjection]) -> tuple[str, ...]:
    for pod in here:
        if not pod.devices:
            raise StepError(
                f"which GPUs {pod.ref} holds is not known: it has no annotation {pods.DEVICES_ANNOTATION}",
                hint="give `gpus`",
            )
    return tuple(dict.fromkeys(gpu for pod in here for gpu in pod.devices))


def _wanted(have: int, count: int | None, percent: float | None, what: str) -> int:
    """How many of `have`. Raises StepFailed when there are too few."""
    wanted = have if percent is None else math.ceil(have * percent / 100)
    wanted = wanted if count is None else count
    if wanted > have:
        raise StepFailed(
            f"{wanted} {what} are wanted, there are {have}", evidence={"wanted": wanted, "have": have}
        )
    return wanted


def _require_all_named(where: WhereParams, locations: Sequence[Location]) -> None:
    """Every GPU that was given by UUID is on one of the nodes."""
    found = {gpu for location in locations for gpu in location.gpus}
    missing = [gpu for gpu in where.gpus or () if isinstance(gpu, str) and gpu not in found]
    if missing:
        nodes = ", ".join(location.node for location in locations)
        raise StepError(
            f"{nodes} has no GPU {', '.join(missing)}", hint="`offbus plan` shows the nodes and their GPUs"
        )


def _nowhere(target: Target, where: str, nodes: Sequence[str]) -> StepFailed:
    """Nothing was changed yet: the world is not as the scenario says."""
    return StepFailed(
        f"{target} has no ready pod that asks for GPUs {where}; it has some on {', '.join(nodes)}",
        evidence={"where": where, "pods_on": list(nodes)},
    )


async def require_still_there(cluster: Cluster, location: Location) -> list[Object]:
    """Read the pods again just before the injection. Raises StepError when one moved or is not ready any more."""
    return [await _still_there(cluster, location.node, pod) for pod in location.pods]


async def _still_there(cluster: Cluster, node: str, view: PodProjection) -> Object:
    try:
        pod = await cluster.port.objects.get(view.ref)
    except NotFound as err:
        raise StepError(f"{view.ref} is gone", hint="the target is not stable; run again") from err
    same = pod["metadata"]["uid"] == view.uid and pod["spec"].get("nodeName") == node
    if not same or not pods.is_ready(pod):
        raise StepError(f"{view.ref} has moved from {node} or is not ready any more", hint="run again")
    return pod


def require_prepared(pod: Mapping[str, Any]) -> None:
    """Raises StepError when the shim is not in the pod: its calls could not be faulted."""
    if not any(is_loaded_with(container) for container in pods.containers(pod["spec"])):
        raise StepError(
            f"Pod {pod['metadata']['name']} runs without the shim: CUDA and NVML calls cannot be faulted",
            hint="put a `prepare_cuda` step before",
        )
