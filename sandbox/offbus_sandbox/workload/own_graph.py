"""The graph that a pod of a cluster belongs to, from the environment that Dynamo's operator sets."""

import os
from dataclasses import dataclass

__all__ = ["OwnGraph", "own_graph"]


@dataclass(frozen=True, slots=True)
class OwnGraph:
    """A DynamoGraphDeployment's namespace and name."""

    namespace: str
    graph: str


def own_graph() -> OwnGraph | None:
    """This pod's graph in a cluster; None elsewhere (a pod of `local` has no API server)."""
    if "KUBERNETES_SERVICE_HOST" not in os.environ:
        return None
    namespace, graph = (os.environ.get(f"DYN_PARENT_DGD_K8S_{what}", "") for what in ("NAMESPACE", "NAME"))
    return OwnGraph(namespace, graph) if namespace and graph else None
