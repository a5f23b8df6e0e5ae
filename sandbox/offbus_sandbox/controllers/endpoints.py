"""The ready pods' addresses: one file per graph (`pod_endpoints`), rewritten atomically whenever readiness changes.

Pods read it (OFFBUS_ENDPOINTS) as they would query a discovery service, and so does the adapter for traffic.
"""

import json
import os
from collections.abc import Iterable

from offbus_sandbox.controllers.controller import Controller
from offbus_sandbox.layout import Layout
from offbus_sandbox.store.history import Change
from offbus_sandbox.store.owners import graph_of
from offbus_sandbox.store.pod_endpoints import endpoints
from offbus_sandbox.store.store import Store

__all__ = ["Endpoints"]

Key = tuple[str, str]


class Endpoints(Controller[Key]):
    """Writes the files; a key is (namespace, graph)."""

    def __init__(self, store: Store, layout: Layout) -> None:
        super().__init__(store)
        self._layout = layout

    def keys(self, change: Change) -> Iterable[Key]:
        """The graph that a pod belongs to."""
        if change.object["kind"] == "Pod":
            yield change.object["metadata"]["namespace"], graph_of(change.object)

    def reconcile(self, key: Key) -> None:
        """Write the graph's file, or remove it when the graph has no pods."""
        namespace, graph = key
        path = self._layout.endpoints(namespace, graph)
        pods = [p for p in self.store.each("Pod", namespace) if graph_of(p) == graph]
        if not pods:
            path.unlink(missing_ok=True)
            return
        text = json.dumps(endpoints(pods))
        fresh = path.with_suffix(".new")
        fresh.write_text(text)
        os.replace(fresh, path)  # noqa: PTH105  # the atomic rename, by its name
