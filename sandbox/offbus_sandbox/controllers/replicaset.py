"""ReplicaSets: keep the requested number of pods; a pod that ends or is deleted is replaced at once."""

from collections.abc import Sequence

from offbus_sandbox.controllers.controller import OwnerController
from offbus_sandbox.store.conditions import Status
from offbus_sandbox.store.owners import dependents, owner_reference
from offbus_steps.port import Object, Ref
from offbus_steps.workloads.pods import is_finished, is_ready, is_terminating

__all__ = ["ReplicaSets", "is_active"]


class ReplicaSets(OwnerController):
    """Pods for ReplicaSets."""

    kind = "ReplicaSet"
    owned = "Pod"

    def reconcile(self, key: Ref) -> None:
        """Create or delete pods, then report."""
        owner = self.store.find(key)
        if owner is None or owner["metadata"].get("deletionTimestamp"):
            return
        pods = [p for p in dependents(self.store, "Pod", owner) if is_active(p)]
        missing = owner["spec"]["replicas"] - len(pods)
        for _ in range(missing):
            self.store.create(pod_of(owner))
        for pod in victims(pods, -missing):
            self.store.delete(Ref.of(pod))
        pods = [p for p in dependents(self.store, "Pod", owner) if is_active(p)]
        ready = sum(map(is_ready, pods))
        status: Status = {"replicas": len(pods), "readyReplicas": ready, "availableReplicas": ready}
        status["observedGeneration"] = owner["metadata"]["generation"]
        self.store.set_status(key, status)


def pod_of(owner: Object) -> Object:
    """A new pod from the template."""
    template = owner["spec"]["template"]
    given = template.get("metadata") or {}
    meta = {
        "generateName": f"{owner['metadata']['name']}-",
        "namespace": owner["metadata"]["namespace"],
        "labels": dict(given.get("labels") or {}),
        "annotations": dict(given.get("annotations") or {}),
        "ownerReferences": [owner_reference(owner)],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": template["spec"]}


def victims(pods: Sequence[Object], count: int) -> Sequence[Object]:
    """Which pods go first, as in Kubernetes: unbound, then not ready, then the newest."""
    if count <= 0:
        return ()
    newest_first = sorted(pods, key=lambda p: int(p["metadata"]["resourceVersion"]), reverse=True)
    return sorted(newest_first, key=lambda p: (bool(p["spec"].get("nodeName")), is_ready(p)))[:count]


def is_active(pod: Object) -> bool:
    """A pod that counts: neither finished nor terminating."""
    return not is_terminating(pod) and not is_finished(pod)
