"""Whether pods that lose their node fit elsewhere: the one rule set of the guards and of the sandbox's scheduler.

It answers as Kubernetes' scheduler would (default profile of release 1.34, its filters in their order and its words):
cordons, taints, node affinity (offbus_steps.workloads.node_rules), host ports, every resource and the number of pods,
topology spread and pod affinity (offbus_steps.workloads.pod_rules). Nobody is preempted: what fits only by evicting
others does not fit. What needs more than nodes and pods to decide is named by `unknowns`, and must not be called
fitting: volumes that may be bound to a node, ResourceClaims, other schedulers, gates. A node that reports no cpu,
memory, storage or number of pods is not limited by it: nodes of `local`, whose pods share a machine. Pure.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from math import ceil, inf
from typing import Any

from offbus_steps.port import Ref
from offbus_steps.workloads import gpus, pods
from offbus_steps.workloads.node_rules import node_refusal
from offbus_steps.workloads.pod_rules import Host, affinity_rule, spread_rule, undecided
from offbus_steps.workloads.requests import Amounts, amounts, pod_requests

__all__ = ["Fleet", "Shortage", "shortage", "unknowns"]

Pod = Mapping[str, Any]
Units = dict[str, int]
"""Resources in the scheduler's units: thousandths of a cpu, and whole numbers of everything else, rounded up."""
Port = tuple[str, str, int]
"""Address of the host, protocol, number."""

_NOT_LIMITED = frozenset({"cpu", "memory", "ephemeral-storage"})
_ANYWHERE = frozenset(
    {"configMap", "downwardAPI", "emptyDir", "hostPath", "image", "nfs", "projected", "secret"}
)
"""Volumes that do not tie a pod to nodes."""
_SCHEDULERS = ("", "default-scheduler")


class Fleet:
    """Nodes, and the pods that hold their resources; `assign` adds one."""

    def __init__(
        self, nodes: Iterable[Mapping[str, Any]], running: Iterable[Pod], closed: Collection[str] = ()
    ) -> None:
        """`running` may hold pods of other nodes, and ended ones. `closed`: nodes that take no pod, and still count
        for topology, as a cordoned node does."""
        self._hosts = {str(node["metadata"]["name"]): Host(node) for node in nodes}
        self._closed = closed
        offered = {
            name: (host.node.get("status") or {}).get("allocatable") for name, host in self._hosts.items()
        }
        self._free = {name: _units(amounts(sizes, f"Node {name}")) for name, sizes in offered.items()}
        self._known: dict[str, Units] = {}
        """What pods need, by the fields that say so: most pods of a cluster are copies of a few."""
        self._ports: dict[str, set[Port]] = {name: set() for name in self._hosts}
        for pod in running:
            name = (pod.get("spec") or {}).get("nodeName")
            if name in self._hosts and not pods.is_finished(pod):
                self.assign(pod, name)

    def assign(self, pod: Pod, node: str) -> None:
        """The pod holds its resources there from now on."""
        self._hosts[node].pods.append(pod)
        self._ports[node].update(_host_ports(pod))
        free = self._free[node]
        for name, size in self._needed(pod).items():
            if name in free:
                free[name] -= size

    def free_gpus(self, node: str) -> int:
        """GPUs that no pod holds there."""
        return sum(self._free[node].get(name, 0) for name in gpus.WHOLE_GPUS)

    def refusals(self, pod: Pod) -> dict[str, list[str]]:
        """By node: why it does not accept the pod, by the first filter that refuses; empty when it does."""
        hosts = list(self._hosts.values())
        spread, affinity = spread_rule(pod, hosts), affinity_rule(pod, hosts)
        need, ports = self._needed(pod), _host_ports(pod)
        found = {}
        for name, host in self._hosts.items():
            clash = any(
                one[1:] == other[1:] and ("0.0.0.0" in (one[0], other[0]) or one[0] == other[0])
                for one in ports
                for other in self._ports[name]
            )
            free = self._free[name]
            short = ["Too many pods"] if len(host.pods) >= free.get("pods", inf) else []
            short += [
                f"Insufficient {resource}"
                for resource, size in need.items()
                if size > free.get(resource, inf if resource in _NOT_LIMITED else 0)
            ]
            filters = (
                (["node(s) were unschedulable"] if name in self._closed else ()),
                filter(None, (node_refusal(pod["spec"], host.node),)),
                (["node(s) didn't have free ports for the requested pod ports"] if clash else ()),
                short,
                filter(None, (spread(host),)),
                filter(None, (affinity(host),)),
            )
            found[name] = next((why for one in filters if (why := list(one))), [])
        return found

    def _needed(self, pod: Pod) -> Units:
        spec = pod["spec"]
        listed = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
        fields = [(one.get("resources"), one.get("restartPolicy")) for one in listed]
        key = repr((fields, len(spec.get("containers") or ()), spec.get("resources"), spec.get("overhead")))
        if key not in self._known:
            self._known[key] = _units(pod_requests(spec))
        return self._known[key]


@dataclass(frozen=True, slots=True)
class Shortage:
    """What does not fit, and of what that is not known; for messages."""

    missing: tuple[str, ...]
    unknown: tuple[str, ...]


def shortage(pending: Iterable[Pod], fleet: Fleet) -> Shortage:
    """Which pods do not fit, and which may not. Largest first, each on the fullest node that it fits on."""
    missing, unknown = [], []
    for pod in sorted(pending, key=lambda one: gpus.gpus_needed(one["spec"]), reverse=True):
        refused = fleet.refusals(pod)
        fitting = [name for name, why in refused.items() if not why]
        ref = Ref.of({"kind": "Pod", **pod})
        if fitting:
            fleet.assign(pod, min(fitting, key=fleet.free_gpus))
            unknown += [f"{ref}: {why}" for why in unknowns(pod)]
            continue
        need = gpus.gpus_needed(pod["spec"])
        what = f"{need} GPU(s) on one node" if need else "a node that accepts a pod without GPUs"
        counted = Counter(why for reasons in refused.values() for why in reasons)
        listed = ", ".join(f"{count} {why}" for why, count in sorted(counted.items()))
        missing.append(f"{what} for {ref} ({listed or 'there are no other nodes'})")
    return Shortage(tuple(missing), tuple(unknown))


def unknowns(pod: Pod) -> list[str]:
    """Why nodes and pods alone do not tell where this pod fits; empty when they do."""
    spec = pod["spec"]
    scheduler = spec.get("schedulerName") or ""
    found = [] if scheduler in _SCHEDULERS else [f"its scheduler is {scheduler}"]
    found += [f"it waits for its scheduling gate {one['name']}" for one in spec.get("schedulingGates") or ()]
    found += [f"its ResourceClaim {one['name']} is allocated" for one in spec.get("resourceClaims") or ()]
    for volume in spec.get("volumes") or ():
        kinds = {key for key, value in volume.items() if key != "name" and value is not None}
        if kinds - _ANYWHERE:
            found.append(f"its volume {volume['name']} may be bound to nodes")
    return [*found, *undecided(pod)]


def _units(sizes: Amounts) -> Units:
    return {name: ceil(size * 1000) if name == "cpu" else ceil(size) for name, size in sizes.items()}


def _host_ports(pod: Pod) -> set[Port]:
    spec = pod.get("spec") or {}
    found = set()
    for one in (port for container in pods.containers(spec) for port in container.get("ports") or ()):
        number = one.get("hostPort") or (one["containerPort"] if spec.get("hostNetwork") else 0)
        if number:
            found.add((one.get("hostIP") or "0.0.0.0", one.get("protocol") or "TCP", int(number)))
    return found
