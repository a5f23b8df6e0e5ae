"""Resolves where a fault goes (offbus_steps.inject.selector): one location for each node, with its pod and its GPUs.

The guards may refuse a location later (offbus_steps.inject.blast_radius). A node without a ready GPU pod of the target
is StepFailed: the cluster is not as the scenario says.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from offbus.errors import StepError, StepFailed
from offbus_steps.cluster.cluster import Cluster
from offbus_steps.inject.selector import OWN_DOMAIN, LocationParams
from offbus_steps.inject.undo_restart import Holder
from offbus_steps.listing import projected
from offbus_steps.port import NotFound, Object, Ref
from offbus_steps.watch.projections import PodProjection
from offbus_steps.watch.target_pods import target_pods
from offbus_steps.workloads import gpus, pods
from offbus_steps.workloads.gpu_claims import claim_conflict, claim_flaw
from offbus_steps.workloads.shim_fields import loads_shim
from offbus_steps.workloads.target import Target

__all__ = ["Location", "find_locations", "require_prepared", "require_still_there"]

DOMAIN_LABEL = "nvidia.com/gpu.clique"
"""The NVLink domain and partition of a node's GPUs, by NVIDIA's GPU Feature Discovery."""


@dataclass(frozen=True, slots=True)
class Location:
    """One node of the target, with the pod and the GPUs to fault."""

    pod: PodProjection
    """A pod of the target on the node; one that holds the GPUs, if any does."""
    node: str
    gpus: tuple[str, ...]
    holders: Mapping[str, tuple[PodProjection, ...]]
    """Which of the target's pods on the node hold each of the GPUs: several where it is shared."""

    @property
    def holding(self) -> tuple[PodProjection, ...]:
        """The holders, each once; none when no pod of the target holds the GPUs."""
        return tuple({pod.uid: pod for sharers in self.holders.values() for pod in sharers}.values())

    @property
    def pods(self) -> tuple[PodProjection, ...]:
        """The pods that must stay on the node until the injection: the holders, else that one pod."""
        return self.holding or (self.pod,)

    @property
    def restartable(self) -> tuple[Holder, ...]:
        """The holders, each once, as the undo needs them."""
        return tuple(
            Holder(name=p.ref.name, namespace=p.ref.namespace, uid=p.uid, restarts=p.restarts)
            for p in self.holding
        )


async def find_locations(cluster: Cluster, target: Target, where: LocationParams) -> list[Location]:
    """Resolve nodes and GPUs now. Raises StepFailed when the target is not where it should be, else StepError."""
    every = target_pods(cluster.log.world, target)
    ready = [pod for pod in every if pod.ready and pod.gpus]
    if not ready:
        others = [name for pod in every if not pod.gpus for name in pod.other_gpus]
        raise gpus.refusal(target, others, "has no ready pod that requests GPUs")
    nodes = await _nodes(cluster, target, ready, where)
    locations = []
    for node in nodes:
        here = [pod for pod in ready if pod.node == node]
        wanted = await _gpus(cluster, here, node, where)
        holders = {gpu: tuple(pod for pod in here if gpu in pod.devices) for gpu in wanted}
        held = {gpu: sharers for gpu, sharers in holders.items() if sharers}
        first = next((pod for sharers in held.values() for pod in sharers), here[0])
        locations.append(Location(first, node, wanted, held))
    _require_all_found(where, locations)
    await _require_own(cluster, locations)
    return [location for location in locations if location.gpus]


async def _nodes(
    cluster: Cluster, target: Target, ready: Sequence[PodProjection], where: LocationParams
) -> list[str]:
    on = list(dict.fromkeys(pod.node for pod in ready))
    if where.node is not None or where.nodes is not None:
        named = [where.node] if where.node is not None else list(dict.fromkeys(where.nodes or ()))
        for node in named:
            if node not in on:
                raise _nowhere(target, f"on {node}", on)
        found = named
    elif not where.many:
        holding = [pod.node for pod in ready if set(pod.devices) & set(where.gpus or ())]
        return list(dict.fromkeys(holding)) or on[:1]
    else:
        found = on
    found = await _labelled(cluster, target, found, where)
    return found[: _wanted(len(found), where.node_count, where.node_percent, f"nodes of {target}")]


async def _labelled(cluster: Cluster, target: Target, nodes: list[str], where: LocationParams) -> list[str]:
    """Those with the wanted labels and in the wanted NVLink domain."""
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
            f"{first} has no label {DOMAIN_LABEL}: its NVLink domain is unknown",
            hint="GPU Feature Discovery sets it where NVLink spans nodes; or choose nodes by node_label",
        )
    return str(domain)


async def _gpus(
    cluster: Cluster, here: Sequence[PodProjection], node: str, where: LocationParams
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


def _named(named: Sequence[str | int], node: str, known: Mapping[int, str]) -> tuple[str, ...]:
    """Those of the given GPUs that the node has. Raises StepError for an index that it does not have."""
    found = []
    for gpu in named:
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
                f"the GPUs of {pod.ref} are unknown: it has no annotation {gpus.DEVICES_ANNOTATION}",
                hint="set `gpus`",
            )
        if parts := [device for device in pod.devices if gpus.is_part(device)]:
            raise gpus.refusal(pod.ref, parts)
    return tuple(dict.fromkeys(gpu for pod in here for gpu in pod.devices))


def _wanted(have: int, count: int | None, percent: float | None, what: str) -> int:
    """How many of `have`. Raises StepFailed when there are too few."""
    wanted = have if percent is None else math.ceil(have * percent / 100)
    wanted = wanted if count is None else count
    if wanted > have:
        raise StepFailed(
            f"{wanted} {what} are needed, there are {have}", evidence={"wanted": wanted, "have": have}
        )
    return wanted


def _require_all_found(where: LocationParams, locations: Sequence[Location]) -> None:
    """Raises StepError when a GPU given by UUID is on none of the nodes."""
    found = {gpu for location in locations for gpu in location.gpus}
    missing = [gpu for gpu in where.gpus or () if isinstance(gpu, str) and gpu not in found]
    if missing:
        nodes = ", ".join(location.node for location in locations)
        raise StepError(
            f"{nodes} has no GPU {', '.join(missing)}", hint="`offbus plan` shows the nodes and their GPUs"
        )


async def _require_own(cluster: Cluster, locations: Sequence[Location]) -> None:
    """Raises StepError when a pod is not to be believed about its GPUs, or when a GPU is somebody else's, too."""
    nodes = {location.node for location in locations}
    everything = await projected(cluster.port.objects, "Pod", lambda pod: pods.lean(pod, nodes))
    for location in locations:
        here = [pod for pod in everything if pod["spec"]["nodeName"] == location.node]
        meant = {pod.uid for pod in location.holding}
        flaws = (claim_flaw(pod) for pod in here if pod["metadata"]["uid"] in meant)
        hint = "correct what sets the annotation, or remove it: the kubelet tells where it serves ResourceHealthStatus"
        if flaw := next((one for one in flaws if one), None):
            raise StepError(flaw, hint=hint)
        for gpu in location.gpus:
            if conflict := claim_conflict(gpu, here, {one.uid for one in location.holders.get(gpu, ())}):
                raise StepError(
                    f"{conflict} on {location.node}, so a fault on it would hit more than the target",
                    hint="choose other GPUs with `gpus`, or another node; " + hint,
                )


def _nowhere(target: Target, where: str, nodes: Sequence[str]) -> StepFailed:
    """StepFailed, no error: the cluster is not as the scenario says."""
    return StepFailed(
        f"{target} has no ready pod that requests GPUs {where}; it has some on {', '.join(nodes)}",
        evidence={"where": where, "pods_on": list(nodes)},
    )


async def require_still_there(cluster: Cluster, location: Location) -> list[Object]:
    """Read the pods again just before the injection. Raises StepError when one moved or is no longer ready."""
    found = []
    for known in location.pods:
        try:
            pod = await cluster.port.objects.get(known.ref)
        except NotFound as err:
            raise StepError(f"{known.ref} is gone", hint="the target is not stable; run again") from err
        same = pod["metadata"]["uid"] == known.uid and pod["spec"].get("nodeName") == location.node
        if not same or not pods.is_ready(pod):
            raise StepError(
                f"{known.ref} has moved from {location.node} or is no longer ready", hint="run again"
            )
        found.append(pod)
    return found


def require_prepared(pod: Mapping[str, Any]) -> None:
    """Raises StepError when the shim is not in the pod."""
    if not loads_shim(pod["spec"]):
        raise StepError(
            f"Pod {pod['metadata']['name']} runs without the shim: CUDA and NVML calls cannot be faulted",
            hint="add a `prepare_cuda` step before this one",
        )
