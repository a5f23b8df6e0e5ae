"""Discovery in a cluster: the pods of the frontend's own graph, by watch, as Dynamo finds them there.

Dynamo's operator names the graph in the frontend's environment and gives its service account read access to the pods
of its namespace. A pod's Ready condition decides whether it is ready. While the API server is unreachable, the last
listing stays. Must not: see other graphs, or change anything.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio

from offbus_sandbox.responder.watch import follow
from offbus_sandbox.store.pod_endpoints import endpoints
from offbus_sandbox.workload.endpoints import Listing
from offbus_sandbox.workload.own_graph import OwnGraph
from offbus_steps.kubernetes.port import open_port
from offbus_steps.kubernetes.rest.connection import Login
from offbus_steps.port import Object, Objects, Ref
from offbus_steps.workloads.dynamo_graph import GRAPH_LABEL

__all__ = ["GraphPods", "graph_pods"]


@dataclass(slots=True)
class GraphPods:
    """Implements `endpoints.Source` over a watch."""

    objects: Objects
    own: OwnGraph
    _pods: dict[Ref, Object] = field(default_factory=dict)
    _listing: Listing = field(default_factory=Listing)

    def listing(self) -> Listing:
        """The ready pods, as of the last change."""
        return self._listing

    async def run(self) -> None:
        """Follow the pods until cancelled."""
        labels = f"{GRAPH_LABEL}={self.own.graph}"
        async for seen in follow(self.objects, "Pod", namespace=self.own.namespace, labels=labels):
            if seen.object is None:
                self._pods.pop(seen.ref, None)
            else:
                self._pods[seen.ref] = seen.object
            self._listing = Listing.model_validate(endpoints(self._pods.values()))


@asynccontextmanager
async def graph_pods(own: OwnGraph) -> AsyncIterator[GraphPods]:
    """Watch the graph's pods with this pod's service account."""
    async with open_port(Login()) as port, anyio.create_task_group() as tasks:
        pods = GraphPods(port.objects, own)
        tasks.start_soon(pods.run)
        yield pods
        tasks.cancel_scope.cancel()
