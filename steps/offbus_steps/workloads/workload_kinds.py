"""The kinds of workloads that can be a target, and the adapter of each."""

from collections.abc import Mapping
from typing import Literal, get_args

from offbus.errors import StepError
from offbus_steps.port import Object
from offbus_steps.workloads.apps_v1 import Deployment, StatefulSet
from offbus_steps.workloads.base import Workload
from offbus_steps.workloads.dynamo_graph import Graph
from offbus_steps.workloads.leader_worker_set import LeaderWorkerSet

__all__ = ["WORKLOAD_KINDS", "WorkloadKind", "workload_of"]

WorkloadKind = Literal["Deployment", "DynamoGraphDeployment", "LeaderWorkerSet", "StatefulSet"]
"""The kinds that can be a target, as scenarios name them."""


WORKLOAD_KINDS: tuple[str, ...] = get_args(WorkloadKind)


_KINDS: Mapping[str, type[Workload]] = {
    "Deployment": Deployment,
    "DynamoGraphDeployment": Graph,
    "LeaderWorkerSet": LeaderWorkerSet,
    "StatefulSet": StatefulSet,
}


def workload_of(obj: Object) -> Workload:
    """The adapter for an object. Raises StepError for a kind that cannot be a target."""
    adapter = _KINDS.get(obj["kind"])
    if adapter is None:
        raise StepError(
            f"{obj['kind']} cannot be a target", hint=f"possible kinds: {', '.join(WORKLOAD_KINDS)}"
        )
    return adapter(obj)
