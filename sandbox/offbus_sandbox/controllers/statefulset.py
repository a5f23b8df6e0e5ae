"""StatefulSets: pods with stable names, created in order and replaced one by one from the last.

As Kubernetes does, except that a pod created during a rolling update always uses the newest template, and that no
volume claims are created. OnDelete and a partition are respected.
"""

from collections.abc import Mapping
from typing import Any

from offbus_sandbox.controllers.controller import OwnerController
from offbus_sandbox.controllers.deployment import template_hash
from offbus_sandbox.store.conditions import Status
from offbus_sandbox.store.owners import dependents, owner_reference
from offbus_steps.port import Object, Ref
from offbus_steps.workloads.labels import labels_of
from offbus_steps.workloads.pods import is_finished, is_ready, is_terminating
from offbus_steps.workloads.quantity import count

__all__ = ["StatefulSets"]

REVISION_LABEL = "controller-revision-hash"
INDEX_LABEL = "apps.kubernetes.io/pod-index"

Pods = Mapping[int, Object]


class StatefulSets(OwnerController):
    """Pods for StatefulSets."""

    kind = "StatefulSet"
    owned = "Pod"

    def reconcile(self, key: Ref) -> None:
        """One step, then report; the pods' changes trigger the next one."""
        owner = self.store.find(key)
        if owner is None or owner["metadata"].get("deletionTimestamp"):
            return
        owned = dependents(self.store, "Pod", owner)
        pods = {int(ordinal): p for p in owned if (ordinal := labels_of(p).get(INDEX_LABEL))}
        if not any(is_terminating(pod) for pod in pods.values()):
            self._step(owner, pods)
        self._report(owner)

    def _step(self, owner: Object, pods: Pods) -> None:
        wanted = range(owner["spec"]["replicas"])
        ended = [pod for pod in pods.values() if is_finished(pod)]
        excess = [pods[n] for n in sorted(pods, reverse=True) if n not in wanted]
        if ended or excess:
            self.store.delete(Ref.of((ended or excess)[0]))
            return
        at_once = owner["spec"].get("podManagementPolicy") == "Parallel"
        for ordinal in wanted:
            if ordinal not in pods:
                self.store.create(pod_of(owner, ordinal))
            ready = ordinal in pods and is_ready(pods[ordinal])
            if not ready and not at_once:
                return
        # all have been made: the last one of an older revision is replaced
        strategy = owner["spec"].get("updateStrategy") or {}
        if strategy.get("type") == "OnDelete" or not all(map(is_ready, pods.values())):
            return
        partition = count(strategy.get("rollingUpdate") or {}, "partition", 0)
        revision = revision_of(owner)
        for ordinal in sorted(pods, reverse=True):
            if ordinal >= partition and labels_of(pods[ordinal])[REVISION_LABEL] != revision:
                self.store.delete(Ref.of(pods[ordinal]))
                return

    def _report(self, owner: Object) -> None:
        pods = [p for p in dependents(self.store, "Pod", owner) if not is_finished(p)]
        ready, revision, replicas = sum(map(is_ready, pods)), revision_of(owner), owner["spec"]["replicas"]
        updated = sum(labels_of(pod).get(REVISION_LABEL) == revision for pod in pods)
        before = owner.get("status", {}).get("currentRevision", revision)
        done = len(pods) == updated == ready == replicas
        status: Status = {
            "observedGeneration": owner["metadata"]["generation"],
            "replicas": len(pods),
            "readyReplicas": ready,
            "availableReplicas": ready,
            "updatedReplicas": updated,
            "updateRevision": revision,
            "currentRevision": revision if done else before,
        }
        self.store.set_status(Ref.of(owner), status)


def revision_of(owner: Object) -> str:
    """The name of the current pod template's revision."""
    return f"{owner['metadata']['name']}-{template_hash(owner)}"


def pod_of(owner: Object, ordinal: int) -> Object:
    """The pod of an ordinal."""
    template = owner["spec"]["template"]
    given, name = template.get("metadata") or {}, f"{owner['metadata']['name']}-{ordinal}"
    own = {
        "statefulset.kubernetes.io/pod-name": name,
        INDEX_LABEL: str(ordinal),
        REVISION_LABEL: revision_of(owner),
    }
    meta: dict[str, Any] = {
        "name": name,
        "namespace": owner["metadata"]["namespace"],
        "labels": {**(given.get("labels") or {}), **own},
        "annotations": dict(given.get("annotations") or {}),
        "ownerReferences": [owner_reference(owner)],
    }
    spec = {**template["spec"], "hostname": name}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}
