"""Deployments: one ReplicaSet for each pod template; a rolling update scales the new one up and the old ones down."""

import hashlib
import json
from collections.abc import Sequence

from offbus_sandbox.controllers.controller import OwnerController
from offbus_sandbox.controllers.rollout import Limits, next_new, next_old
from offbus_sandbox.store.conditions import Status, condition, with_condition
from offbus_sandbox.store.owners import HASH_LABEL, dependents, owner_reference
from offbus_steps.port import Object, Ref

__all__ = ["Deployments"]


class Deployments(OwnerController):
    """ReplicaSets for Deployments."""

    kind = "Deployment"
    owned = "ReplicaSet"

    def reconcile(self, key: Ref) -> None:
        """One step of the rollout, then report; the ReplicaSets' changes trigger the next one."""
        owner = self.store.find(key)
        if owner is None or owner["metadata"].get("deletionTimestamp"):
            return
        digest = template_hash(owner)
        sets = list(dependents(self.store, "ReplicaSet", owner))
        new = next((s for s in sets if s["metadata"]["labels"][HASH_LABEL] == digest), None)
        if new is None:
            new = self.store.create(replica_set(owner, digest))
        old = [s for s in sets if s["metadata"]["labels"][HASH_LABEL] != digest]
        self._roll(owner, new, old)
        self._report(owner, new, old)

    def _roll(self, owner: Object, new: Object, old: Sequence[Object]) -> None:
        replicas = owner["spec"]["replicas"]
        limits = Limits.of(owner["spec"].get("strategy") or {}, replicas)
        ready = sum(map(ready_pods, (new, *old)))
        old_pods, old_ready = sum(map(pods, old)), sum(map(ready_pods, old))
        keep = next_old(replicas, limits, ready=ready, old_ready=old_ready, old=old_pods)
        for replica_set in old:
            share = min(keep, replica_set["spec"]["replicas"])
            self.store.patch(Ref.of(replica_set), {"spec": {"replicas": share}})
            keep -= share
            if share == 0 and pods(replica_set) == 0:
                self.store.delete(Ref.of(replica_set))
        recreate_waits = (owner["spec"].get("strategy") or {}).get("type") == "Recreate" and old_pods
        if not recreate_waits:
            wanted = next_new(replicas, limits, new=new["spec"]["replicas"], old=old_pods)
            self.store.patch(Ref.of(new), {"spec": {"replicas": wanted}})

    def _report(self, owner: Object, new: Object, old: Sequence[Object]) -> None:
        new = self.store.find(Ref.of(new)) or new
        replicas = owner["spec"]["replicas"]
        ready = sum(map(ready_pods, (new, *old)))
        total = sum(map(pods, (new, *old)))
        limits = Limits.of(owner["spec"].get("strategy") or {}, replicas)
        available = condition("Available", ready >= replicas - limits.unavailable, "MinimumReplicas", "")
        done = pods(new) == total == replicas and ready == replicas
        progress = condition(
            "Progressing", True, "NewReplicaSetAvailable" if done else "ReplicaSetUpdated", ""
        )
        conditions = owner.get("status", {}).get("conditions", [])
        for found in (available, progress):
            conditions = with_condition(conditions, found)
        status: Status = {
            "observedGeneration": owner["metadata"]["generation"],
            "replicas": total,
            "updatedReplicas": pods(new),
            "readyReplicas": ready,
            "availableReplicas": ready,
            "unavailableReplicas": max(0, replicas - ready),
            "conditions": conditions,
        }
        self.store.set_status(Ref.of(owner), status)


def template_hash(owner: Object) -> str:
    """A hash that identifies a pod template."""
    text = json.dumps(owner["spec"]["template"], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def replica_set(owner: Object, digest: str) -> Object:
    """The ReplicaSet of the Deployment's current template, with no pods yet."""
    template = owner["spec"]["template"]
    given = template.get("metadata") or {}
    labels = {**(given.get("labels") or {}), HASH_LABEL: digest}
    meta = {
        "name": f"{owner['metadata']['name']}-{digest}",
        "namespace": owner["metadata"]["namespace"],
        "labels": labels,
        "ownerReferences": [owner_reference(owner)],
    }
    selector = owner["spec"]["selector"]
    selector = {**selector, "matchLabels": {**(selector.get("matchLabels") or {}), HASH_LABEL: digest}}
    spec = {
        "replicas": 0,
        "selector": selector,
        "template": {**template, "metadata": {**given, "labels": labels}},
    }
    return {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": meta, "spec": spec}


def pods(replica_set: Object) -> int:
    """Pods that it has, or is about to have."""
    return max(int(replica_set["spec"]["replicas"]), int(replica_set.get("status", {}).get("replicas", 0)))


def ready_pods(replica_set: Object) -> int:
    """Ready pods among those that will stay."""
    ready = int(replica_set.get("status", {}).get("readyReplicas", 0))
    return min(ready, int(replica_set["spec"]["replicas"]))
