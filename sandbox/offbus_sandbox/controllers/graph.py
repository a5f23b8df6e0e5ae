"""DynamoGraphDeployments: a Deployment for each service, and the graph's status, as the operator reports it.

A rolling update adds a pod before it removes one. When no GPU is free for the new pod, it removes an old one first:
the service keeps running as far as GPUs allow, and the update never gets stuck.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from offbus_sandbox.controllers.controller import OwnerController
from offbus_sandbox.controllers.graph_template import deployment_name, deployment_of, services_of
from offbus_sandbox.store.conditions import Status, condition, with_condition
from offbus_sandbox.store.history import Change
from offbus_sandbox.store.owners import HASH_LABEL, dependents
from offbus_steps.port import Object, Ref
from offbus_steps.workloads.dynamo_graph import GRAPH_LABEL
from offbus_steps.workloads.labels import labels_of, selects

__all__ = ["Graphs"]

ADD_FIRST = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
REMOVE_FIRST = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}


class Graphs(OwnerController):
    """Deployments for graphs."""

    kind = "DynamoGraphDeployment"
    owned = "Deployment"

    def keys(self, change: Change) -> Iterable[Ref]:
        """A graph, or the graph of a Deployment or pod."""
        yield from super().keys(change)
        obj = change.object
        if obj["kind"] == "Pod" and GRAPH_LABEL in labels_of(obj):
            yield Ref(self.kind, labels_of(obj)[GRAPH_LABEL], obj["metadata"]["namespace"])

    def reconcile(self, key: Ref) -> None:
        """Make, change and remove Deployments, then report."""
        graph = self.store.find(key)
        if graph is None or graph["metadata"].get("deletionTimestamp"):
            return
        wanted = {name: deployment_of(graph, name, s) for name, s in services_of(graph).items()}
        for deployment in wanted.values():
            ref = Ref.of(deployment)
            old = self.store.find(ref)
            if old is None:
                self.store.create({**deployment, "spec": {**deployment["spec"], "strategy": ADD_FIRST}})
                continue
            spec = {**deployment["spec"], "strategy": self._strategy(old)}
            if any(old["spec"].get(field) != value for field, value in spec.items()):
                self.store.replace_spec(ref, {**old["spec"], **spec})
        names = {d["metadata"]["name"] for d in wanted.values()}
        for owned in list(dependents(self.store, "Deployment", graph)):
            if owned["metadata"]["name"] not in names:
                self.store.delete(Ref.of(owned))
        self._report(graph)

    def _strategy(self, deployment: Object) -> Mapping[str, Any]:
        """The strategy of the current rollout, until it has finished."""
        if rolled_out(deployment):
            return ADD_FIRST
        if deployment["spec"].get("strategy") == REMOVE_FIRST:
            return REMOVE_FIRST
        pods = list(self._pods(deployment))
        waiting = {labels_of(p).get(HASH_LABEL) for p in pods if unschedulable(p)}
        # a new pod waits for GPUs while an old one holds some
        blocked = bool(waiting) and any(labels_of(p).get(HASH_LABEL) not in waiting for p in pods)
        return REMOVE_FIRST if blocked else ADD_FIRST

    def _pods(self, deployment: Object) -> Iterator[Object]:
        for pod in self.store.each("Pod", deployment["metadata"]["namespace"]):
            if selects(deployment["spec"]["selector"], labels_of(pod)):
                yield pod

    def _report(self, graph: Object) -> None:
        services = {name: self._service(graph, name, s) for name, s in services_of(graph).items()}
        waiting = {name: why for name, (_, why) in services.items() if why}
        reason = min(waiting.values(), default="all_resources_are_ready")
        message = (
            "; ".join(f"{name}: {why}" for name, why in sorted(waiting.items())) or "all services are ready"
        )
        ready = condition("Ready", not waiting, reason, message)
        status: Status = {
            "observedGeneration": graph["metadata"]["generation"],
            "state": "pending" if waiting else "successful",
            "conditions": with_condition(graph.get("status", {}).get("conditions", []), ready),
            "components" if "components" in graph["spec"] else "services": {
                name: found for name, (found, _) in services.items()
            },
        }
        self.store.set_status(Ref.of(graph), status)

    def _service(self, graph: Object, name: str, service: Mapping[str, Any]) -> tuple[Status, str]:
        """A service's entry in the status, and why it is not ready ("" when it is)."""
        meta = graph["metadata"]
        component = deployment_name(meta["name"], name)
        deployment = self.store.get(Ref("Deployment", component, meta["namespace"]))
        have = deployment.get("status", {})
        counts = {
            f: have.get(f, 0) for f in ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
        }
        found = {
            "componentKind": "Deployment",
            "componentName": component,
            "componentNames": [component],
            **counts,
        }
        if counts["readyReplicas"] < service["replicas"]:
            short = any(unschedulable(p) for p in self._pods(deployment))
            return found, "insufficient_capacity" if short else "pods_not_ready"
        return found, "" if rolled_out(deployment) else "updating"


def rolled_out(deployment: Object) -> bool:
    """Whether all pods are of the current template, and ready."""
    status, replicas = deployment.get("status", {}), deployment["spec"]["replicas"]
    seen = status.get("observedGeneration") == deployment["metadata"]["generation"]
    counts = (status.get("replicas"), status.get("updatedReplicas"), status.get("readyReplicas"))
    return bool(seen) and counts == (replicas, replicas, replicas)


def unschedulable(pod: Object) -> bool:
    """A pod that fits on no node."""
    conditions = pod["status"].get("conditions", ())
    return any(c["type"] == "PodScheduled" and c["status"] == "False" for c in conditions)
