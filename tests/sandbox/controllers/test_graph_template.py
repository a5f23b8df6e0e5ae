"""Services and components beyond those of the shipped targets (tests/steps/workloads/test_real_manifests.py)."""

from typing import Any

from offbus_sandbox.controllers.graph_template import deployment_of, services_of


def worker_of(spec: dict[str, Any]) -> dict[str, Any]:
    """The Deployment of the service `w`."""
    meta = {"name": "g", "namespace": "drill", "uid": "u"}
    graph = {"apiVersion": "nvidia.com/v1", "kind": "DynamoGraphDeployment", "metadata": meta, "spec": spec}
    return deployment_of(graph, "w", services_of(graph)["w"])


def test_a_component_with_a_name_alone_becomes_what_such_a_service_does() -> None:
    service = worker_of({"services": {"w": {}}})
    assert worker_of({"components": [{"name": "w"}]}) == service
    sidecar = {"name": "sidecar", "image": "none"}
    beside = worker_of({"components": [{"name": "w", "podTemplate": {"spec": {"containers": [sidecar]}}}]})
    main = service["spec"]["template"]["spec"]["containers"]
    assert beside["spec"]["template"]["spec"]["containers"] == [*main, sidecar]
