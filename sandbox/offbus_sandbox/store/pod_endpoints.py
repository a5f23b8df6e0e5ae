"""A workload's ready pods by service, as in a Service's endpoints and Dynamo's discovery. Pure functions.

    {"services": {"Frontend": [{"pod": "…", "ip": "127.…", "port": 8000, "node": "node-1"}]}, "frontends": ["Frontend"]}

A pod that is not ready, or is being deleted, is not listed.
"""

from collections.abc import Iterable
from typing import Any

from offbus_sandbox.store.owners import graph_of
from offbus_steps.port import Object
from offbus_steps.workloads.labels import labels_of
from offbus_steps.workloads.pods import containers, is_ready

__all__ = ["COMPONENT", "COMPONENT_TYPE", "endpoints"]

COMPONENT = "nvidia.com/dynamo-component"
COMPONENT_TYPE = "nvidia.com/dynamo-component-type"
PREFERRED_PORTS = ("http", "system")
"""Names of the port to announce when a pod has several, in this order; else its first."""


def endpoints(pods: Iterable[Object]) -> dict[str, Any]:
    """The endpoints of one graph's pods, by service."""
    services: dict[str, list[dict[str, Any]]] = {}
    frontends = set()
    for pod in pods:
        labels = labels_of(pod)
        component = labels.get(COMPONENT) or labels.get("app.kubernetes.io/component") or graph_of(pod)
        entries = services.setdefault(component, [])
        if labels.get(COMPONENT_TYPE, "frontend") == "frontend":
            frontends.add(component)  # clients reach all pods of a plain Deployment
        if is_ready(pod):
            ports = [p for c in containers(pod["spec"]) for p in c.get("ports") or ()]
            by_name = {p.get("name"): p for p in ports}
            clients = [*(by_name[name] for name in PREFERRED_PORTS if name in by_name), *ports]
            entry = {"pod": pod["metadata"]["name"], "ip": pod["status"]["podIP"]}
            entry["port"] = int(clients[0]["containerPort"]) if clients else None
            entries.append({**entry, "node": pod["spec"]["nodeName"]})
    return {"services": services, "frontends": sorted(frontends)}
