"""The scheduler: binds pending pods to nodes, and says on each that stays pending what is short."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence

from offbus_sandbox.controllers.controller import Controller
from offbus_sandbox.scheduler.fit import free_gpus, gpus_wanted, holds_resources, refusals, unsupported
from offbus_sandbox.store.conditions import condition, with_condition
from offbus_sandbox.store.history import Change
from offbus_sandbox.store.store import Store
from offbus_steps.port import Object, Ref
from offbus_steps.workloads.pods import DEVICES_ANNOTATION, GPU_RESOURCE

__all__ = ["Scheduler"]

ALL = "pods"
"""The only key: whatever changes, all pending pods are looked at, oldest first."""


class Scheduler(Controller[str]):
    """Spreads pods over the nodes: fewest siblings first, then fewest pods, then by name, so that drills repeat."""

    def __init__(self, store: Store, gpus: Mapping[str, Sequence[str]]) -> None:
        """`gpus` are the UUIDs of each node's GPUs, by index."""
        super().__init__(store)
        self._gpus = gpus

    def keys(self, change: Change) -> list[str]:
        """Pods and nodes matter."""
        return [ALL] if change.object["kind"] in {"Pod", "Node"} else []

    def reconcile(self, key: str) -> None:  # there is only one
        """Bind what fits."""
        pending = [p for p in self.store.each("Pod") if is_pending(p)]
        for pod in sorted(pending, key=age):
            self._schedule(pod)

    def _schedule(self, pod: Object) -> None:
        nodes = list(self.store.each("Node"))
        holding = [p for p in self.store.each("Pod") if holds_resources(p)]
        on = {
            n["metadata"]["name"]: [p for p in holding if p["spec"]["nodeName"] == n["metadata"]["name"]]
            for n in nodes
        }
        why: Counter[str] = Counter()
        fitting = []
        for node in nodes:
            name = node["metadata"]["name"]
            reasons = list(refusals(pod, node, self._gpus.get(name, ()), on[name]))
            why.update(reasons)
            if not reasons:
                fitting.append(name)
        problem = unsupported(pod)
        if problem or not fitting:
            self._refuse(pod, problem or shortage(len(nodes), why))
        else:
            self._bind(pod, min(fitting, key=lambda name: rank(pod, name, on[name])), on)

    def _bind(self, pod: Object, node: str, on: Mapping[str, Sequence[Object]]) -> None:
        wanted = gpus_wanted(pod)
        free = free_gpus(self._gpus.get(node, ()), on[node])
        given = {DEVICES_ANNOTATION: devices(free[:wanted])} if wanted else {}
        ref = Ref.of(pod)
        conditions = with_condition(pod["status"].get("conditions", []), condition("PodScheduled", True))
        self.store.set_status(ref, {**pod["status"], "conditions": conditions})
        self.store.bind(ref, node, given)

    def _refuse(self, pod: Object, why: str) -> None:
        new = condition("PodScheduled", False, "Unschedulable", why)
        old = pod["status"].get("conditions", [])
        self.store.set_status(Ref.of(pod), {**pod["status"], "conditions": with_condition(old, new)})


def devices(uuids: Sequence[str]) -> str:
    """Which GPUs a pod holds, as `offbus_steps.workloads.pods.held_gpus` and NVSentinel read it."""
    return json.dumps({"devices": {GPU_RESOURCE: list(uuids)}}, separators=(",", ":"))


def is_pending(pod: Object) -> bool:
    """Not bound yet, and not on its way out."""
    return not pod["spec"].get("nodeName") and not pod["metadata"].get("deletionTimestamp")


def age(pod: Object) -> tuple[str, int]:
    """Oldest first: creation times have whole seconds only."""
    return pod["metadata"]["creationTimestamp"], int(pod["metadata"]["resourceVersion"])


def rank(pod: Object, node: str, on_node: Sequence[Object]) -> tuple[int, int, str]:
    """The best node has the lowest rank."""
    owners = owner_uids(pod)
    siblings = sum(1 for other in on_node if owners & owner_uids(other))
    return siblings, len(on_node), node


def owner_uids(pod: Object) -> set[str]:
    """Who made the pod."""
    return {o["uid"] for o in pod["metadata"].get("ownerReferences") or ()}


def shortage(nodes: int, why: Counter[str]) -> str:
    """The scheduler's sentence: "0/3 nodes are available: 2 Insufficient nvidia.com/gpu, 1 node(s) were …"."""
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(why.items()))
    return f"0/{nodes} nodes are available: {reasons or 'there are no nodes'}."
