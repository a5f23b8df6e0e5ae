"""Small objects for the suite: they do nothing, so that only the test changes them."""

from typing import Any

from offbus_steps.port import Object

__all__ = ["budget", "config_map", "deployment", "patch_of"]


def config_map(namespace: str, name: str = "c", **labels: str) -> Object:
    """A kind without status."""
    meta = {"name": name, "namespace": namespace, "labels": labels}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"a": "1", "b": "2"}}


def deployment(namespace: str, name: str = "d") -> Object:
    """A kind with status and generation; it wants no pods."""
    labels = {"app": name}
    container = {"name": "main", "image": "none", "command": ["true"]}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
    meta = {"name": name, "namespace": namespace}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec}


def budget(namespace: str, app: str, *, minimum: int) -> Object:
    """A disruption budget for the pods with label app=`app`."""
    spec = {"minAvailable": minimum, "selector": {"matchLabels": {"app": app}}}
    meta = {"name": app, "namespace": namespace}
    return {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": meta, "spec": spec}


def patch_of(version: str, **fields: Any) -> dict[str, Any]:
    """A patch for one resource version."""
    return {"metadata": {"resourceVersion": version}, **fields}
