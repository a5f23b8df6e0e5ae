"""What makes the pods of each kind that can be a target: the chain of controllers from a pod up to its workload.

    Deployment             Pod > ReplicaSet > Deployment
    StatefulSet            Pod > StatefulSet
    LeaderWorkerSet        Pod > StatefulSet > LeaderWorkerSet; a worker's StatefulSet is its leader Pod's
                           (kubernetes-sigs/lws, pkg/controllers/pod_controller.go)
    DynamoGraphDeployment  as one of those, the Deployment or LeaderWorkerSet a DynamoComponentDeployment's or
                           DisaggregatedSet's; or Pod > PodClique (> PodCliqueScalingGroup) > PodCliqueSet
                           (ai-dynamo/dynamo, deploy/operator; ai-dynamo/grove, operator/internal/controller)

Pure. Who follows the chain is `offbus_steps.watch.owners`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from offbus_steps.workloads.pods import controller_of

__all__ = [
    "BETWEEN",
    "LABELLED",
    "MAKERS",
    "NAMES",
    "ONLY_OF_GRAPHS",
    "OWNER_KINDS",
    "Controller",
    "controller",
]

MAKERS: Mapping[str, frozenset[str]] = {
    "Deployment": frozenset({"ReplicaSet"}),
    "StatefulSet": frozenset({"StatefulSet"}),
    "LeaderWorkerSet": frozenset({"StatefulSet"}),
    "DynamoGraphDeployment": frozenset({"PodClique", "ReplicaSet", "StatefulSet"}),
}
"""What makes the pods of a workload of each kind that can be a target: a pod of another controller is not its own."""
NAMES: Mapping[str, str] = {
    "Deployment": "{}-[a-z0-9]+",
    "StatefulSet": "{}",
    "LeaderWorkerSet": "{}(-[0-9]+)?",
}
"""How those are called: a regular expression with {} for the workload's name, then a template's hash
(kubernetes/kubernetes, pkg/controller/deployment/sync.go) or a leader's number (lws). Graphs have others."""
OF_GRAPHS = "Deployment DisaggregatedSet DynamoComponentDeployment LeaderWorkerSet Pod PodClique PodCliqueScalingGroup "
OF_GRAPHS += "PodCliqueSet ReplicaSet StatefulSet"
BETWEEN: Mapping[str, frozenset[str]] = {
    "Deployment": frozenset({"ReplicaSet"}),
    "StatefulSet": frozenset(),
    "LeaderWorkerSet": frozenset({"Pod", "StatefulSet"}),
    "DynamoGraphDeployment": frozenset(OF_GRAPHS.split()),
}
"""What may stand between a pod and its workload."""
ONLY_OF_GRAPHS = (BETWEEN["DynamoGraphDeployment"] | {"DynamoGraphDeployment"}) - {
    "Deployment",
    "LeaderWorkerSet",
    "ReplicaSet",
    "StatefulSet",
}
"""What nothing but a graph's operators puts above a pod; also a leader's Pod, whose own chain is not followed here."""
OWNER_KINDS = frozenset[str]().union(*BETWEEN.values())
LABELLED = frozenset({"Pod", "ReplicaSet"})
"""These have the labels of the template that they are made from, and so the target's; others need not have them."""
LONGEST = 256


@dataclass(frozen=True, slots=True)
class Controller:
    """What an owner reference with `controller: true` says."""

    kind: str
    name: str
    uid: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"


def controller(obj: Mapping[str, Any]) -> Controller | None:
    """The controller of an object; None without one. All pods of one owner share it. What its author says is cut: no
    real kind, name or uid is as long."""
    said = controller_of(obj)
    return _shared(*(str(said.get(key, ""))[:LONGEST] for key in ("kind", "name", "uid"))) if said else None


_shared = lru_cache(maxsize=4096)(Controller)
