"""From one service of a DynamoGraphDeployment to the Deployment that runs it.

What the operator adds is added here: the container's name, labels, ports, probes and environment
(reference/dynamo.md §4). Not added: its liveness probes (a local drill watches the process itself), Grove, Services.
Components of v1beta1 become services of v1alpha1 first: the shapes differ, the Deployments do not.
"""

from collections.abc import Mapping
from typing import Any

from offbus_sandbox.store.owners import owner_reference
from offbus_sandbox.store.pod_endpoints import COMPONENT, COMPONENT_TYPE
from offbus_steps.port import Object
from offbus_steps.workloads.dynamo_graph import GRAPH_LABEL
from offbus_steps.workloads.gpus import GPU_RESOURCE
from offbus_steps.workloads.quantity import count

__all__ = ["component_type", "deployment_name", "deployment_of", "services_of"]

WORKER_TYPES = frozenset({"worker", "prefill", "decode"})
FRONTEND_PORT = 8000
SYSTEM_PORT = 9090
FIELDS_OF_SERVICE = frozenset({"mainContainer", "containers"})

Service = Mapping[str, Any]


def services_of(graph: Object) -> dict[str, Service]:
    """The services of either version, in v1alpha1's shape."""
    spec = graph["spec"]
    if "components" not in spec:
        services = (spec.get("services") or {}).items()
        return {name: {**one, "replicas": count(one, "replicas", 1)} for name, one in services}
    found: dict[str, Service] = {}
    for component in spec["components"]:  # of v1beta1; the pod template may have no container `main`
        template = component.get("podTemplate") or {}
        pod = dict(template.get("spec") or {})
        containers = list(pod.pop("containers", ()))
        main: Mapping[str, Any] = next((one for one in containers if one["name"] == "main"), {})
        others = [one for one in containers if one is not main]
        found[component["name"]] = {
            "componentType": component.get("type", "worker"),
            "replicas": count(component, "replicas", 1),
            "extraPodMetadata": template.get("metadata") or {},
            "extraPodSpec": {**pod, "mainContainer": main, "containers": others},
        }
    return found


def deployment_name(graph: str, service: str) -> str:
    """The operator's name for a service's Deployment."""
    return f"{graph}-{service.lower()}"


def deployment_of(graph: Object, name: str, service: Service) -> Object:
    """The Deployment of one service."""
    meta = graph["metadata"]
    labels = labels_for(graph, name, service)
    own = {
        "name": deployment_name(meta["name"], name),
        "namespace": meta["namespace"],
        "labels": labels,
        "ownerReferences": [owner_reference(graph)],
    }
    extra = service.get("extraPodMetadata") or {}
    pod = service.get("extraPodSpec") or {}  # the container `main` comes first
    rest = {key: value for key, value in pod.items() if key not in FIELDS_OF_SERVICE}
    containers = [main_container(graph, name, service), *(pod.get("containers") or ())]
    template = {
        "metadata": {
            "labels": {**(extra.get("labels") or {}), **(service.get("labels") or {}), **labels},
            "annotations": {**(extra.get("annotations") or {}), **(service.get("annotations") or {})},
        },
        "spec": {**rest, "containers": containers},
    }
    selector = {"matchLabels": {key: labels[key] for key in (GRAPH_LABEL, COMPONENT)}}
    spec = {"replicas": service["replicas"], "selector": selector, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": own, "spec": spec}


def labels_for(graph: Object, name: str, service: Service) -> dict[str, str]:
    """The operator's labels on pods."""
    meta, kind = graph["metadata"], component_type(service)
    labels = {
        GRAPH_LABEL: meta["name"],
        COMPONENT: name,
        COMPONENT_TYPE: kind,
        "nvidia.com/dynamo-namespace": f"{meta['namespace']}-{meta['name']}",
        "nvidia.com/dynamo-component-pod": "true",
        "nvidia.com/selector": deployment_name(meta["name"], name),
    }
    if kind in WORKER_TYPES:
        labels["nvidia.com/dynamo-component-class"] = "worker"
    if service.get("subComponentType"):
        labels["nvidia.com/dynamo-sub-component-type"] = service["subComponentType"]
    return labels


def component_type(service: Service) -> str:
    """`frontend`, `worker`, … in lower case, as the operator labels it."""
    return str(service.get("componentType") or "worker").lower()


def main_container(graph: Object, name: str, service: Service) -> dict[str, Any]:
    """The container `main`: the user's settings, with the operator's defaults for the rest."""
    given = dict((service.get("extraPodSpec") or {}).get("mainContainer") or {})
    port, port_name = (
        (FRONTEND_PORT, "http") if component_type(service) == "frontend" else (SYSTEM_PORT, "system")
    )
    probe = {"httpGet": {"path": "/health", "port": port_name}, "failureThreshold": 3, "periodSeconds": 10}
    container = {"ports": [{"name": port_name, "containerPort": port}], "readinessProbe": probe, **given}
    for field in ("readinessProbe", "livenessProbe"):
        if service.get(field):
            container[field] = service[field]
    for_all = graph["spec"].get("env" if "components" in graph["spec"] else "envs")  # v1beta1, v1alpha1
    layers = (operator_env(graph, name, port), for_all, service.get("envs"), given.get("env"))
    # each name once, in the order of the layers; the last layer's value
    env = {entry["name"]: dict(entry) for layer in layers for entry in layer or ()}
    mounts = [*(given.get("volumeMounts") or ()), *(service.get("volumeMounts") or ())]
    container |= {"name": "main", "env": list(env.values()), "resources": resources(service, given)}
    return {**container, "volumeMounts": mounts} if mounts else container


def operator_env(graph: Object, name: str, port: int) -> list[dict[str, str]]:
    """The variables that the operator injects."""
    meta = graph["metadata"]
    values = {
        "DYN_NAMESPACE": f"{meta['namespace']}-{meta['name']}",
        "DYN_COMPONENT": name,
        "DYN_PARENT_DGD_K8S_NAME": meta["name"],
        "DYN_PARENT_DGD_K8S_NAMESPACE": meta["namespace"],
        "DYNAMO_PORT": str(port),
    }
    return [{"name": key, "value": value} for key, value in values.items()]


def resources(service: Service, given: Mapping[str, Any]) -> dict[str, Any]:
    """Requests and limits: `gpu` becomes the device plugin's resource, the rest stays."""
    own = given.get("resources") or {}
    merged = {}
    for field in ("requests", "limits"):
        asked = dict((service.get("resources") or {}).get(field) or {})
        custom = asked.pop("custom", None) or {}
        if "gpu" in asked:
            asked[asked.get("gpuType") or GPU_RESOURCE] = asked.pop("gpu")
        asked.pop("gpuType", None)
        merged[field] = {**asked, **custom, **(own.get(field) or {})}
    return {field: value for field, value in merged.items() if value}
