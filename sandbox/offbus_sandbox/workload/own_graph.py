"""The graph that a pod of a cluster belongs to, as Dynamo's operator says it in the pod's environment."""

import os
from dataclasses import dataclass

__all__ = ["OwnGraph", "own_graph"]


@dataclass(frozen=True, slots=True)
class OwnGraph:
    """Names a DynamoGraphDeployment."""

    namespace: str
    graph: str


def own_graph() -> OwnGraph | None:
    """In a pod of a cluster; None elsewhere (a pod of `local` has no API server to ask)."""
    if "KUBERNETES_SERVICE_HOST" not in os.environ:
        return None
    namespace, graph = (os.environ.get(f"DYN_PARENT_DGD_K8S_{what}", "") for what in ("NAMESPACE", "NAME"))
    return OwnGraph(namespace, graph) if namespace and graph else None
