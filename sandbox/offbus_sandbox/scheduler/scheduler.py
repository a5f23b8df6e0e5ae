"""The scheduler: binds pending pods to nodes, and sets on each unschedulable pod the reason why."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence

from offbus_sandbox.controllers.controller import Controller
from offbus_sandbox.store.conditions import condition, with_condition
from offbus_sandbox.store.history import Change
from offbus_sandbox.store.owners import owner_uids
from offbus_sandbox.store.store import Store
from offbus_steps.port import Object, Ref
from offbus_steps.workloads.fit import Fleet
from offbus_steps.workloads.gpus import DEVICES_ANNOTATION, GPU_RESOURCE, gpus_needed, held_gpus
from offbus_steps.workloads.pods import is_finished

__all__ = ["Scheduler"]

ALL = "pods"
"""The only key: after any change, all pending pods are tried, oldest first."""


class Scheduler(Controller[str]):
    """Spreads pods over the nodes: fewest siblings, then fewest pods, then by name, so that drills are repeatable."""

    def __init__(self, store: Store, gpus: Mapping[str, Sequence[str]]) -> None:
        """`gpus` are the UUIDs of each node's GPUs, by index."""
        super().__init__(store)
        self._gpus = gpus

    def keys(self, change: Change) -> list[str]:
        """Only pods and nodes matter."""
        return [ALL] if change.object["kind"] in {"Pod", "Node"} else []

    def reconcile(self, key: str) -> None:  # there is only one
        """Bind every pod that fits, oldest first: creation times have whole seconds only."""
        pending = [
            (pod["metadata"]["creationTimestamp"], int(pod["metadata"]["resourceVersion"]), pod)
            for pod in self.store.each("Pod")
            if not pod["spec"].get("nodeName") and not pod["metadata"].get("deletionTimestamp")
        ]
        for *_, pod in sorted(pending, key=lambda row: row[:2]):
            self._schedule(pod)

    def _schedule(self, pod: Object) -> None:
        nodes = list(self.store.each("Node"))
        # a pod holds its resources until it has ended, also while it is being deleted
        holding = [p for p in self.store.each("Pod") if p["spec"].get("nodeName") and not is_finished(p)]
        on = {
            n["metadata"]["name"]: [p for p in holding if p["spec"]["nodeName"] == n["metadata"]["name"]]
            for n in nodes
        }
        refusals = Fleet(nodes, holding).refusals(pod)
        fitting = [name for name, reasons in refusals.items() if not reasons]
        if not fitting:
            why = Counter(reason for reasons in refusals.values() for reason in reasons)
            listed = ", ".join(f"{count} {reason}" for reason, count in sorted(why.items()))
            short = f"0/{len(nodes)} nodes are available: {listed or 'there are no nodes'}."
            new = condition("PodScheduled", False, "Unschedulable", short)
            conditions = with_condition(pod["status"].get("conditions", []), new)
            self.store.set_status(Ref.of(pod), {**pod["status"], "conditions": conditions})
        else:
            owners = owner_uids(pod)
            siblings = {name: sum(bool(owners & owner_uids(p)) for p in on[name]) for name in fitting}
            _, _, best = min((siblings[name], len(on[name]), name) for name in fitting)
            self._bind(pod, best, on)

    def _bind(self, pod: Object, node: str, on: Mapping[str, Sequence[Object]]) -> None:
        wanted = gpus_needed(pod["spec"])
        held = {uuid for other in on[node] for uuid in held_gpus(other)}
        free = [uuid for uuid in self._gpus.get(node, ()) if uuid not in held]  # in order of their index
        # as `offbus_steps.workloads.gpus.held_gpus` and NVSentinel read it
        devices = json.dumps({"devices": {GPU_RESOURCE: free[:wanted]}}, separators=(",", ":"))
        given = {DEVICES_ANNOTATION: devices} if wanted else {}
        ref = Ref.of(pod)
        conditions = with_condition(pod["status"].get("conditions", []), condition("PodScheduled", True))
        self.store.set_status(ref, {**pod["status"], "conditions": conditions})
        self.store.bind(ref, node, given)
