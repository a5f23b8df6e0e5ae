"""Which Service leads to a workload's frontend, and where in each pod. Pure.

A DynamoGraphDeployment's is called `<name>-frontend` (reference: ai-dynamo/dynamo's operator). A plain workload's is
the one whose selector its pods' template matches and that leads to the wanted port. A Service may name the port: then
it is what each pod calls so.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from offbus_steps.port import Object
from offbus_steps.workloads.base import Workload
from offbus_steps.workloads.pods import containers

__all__ = ["Route", "port_in", "route_to"]


@dataclass(frozen=True, slots=True)
class Route:
    """The way into a workload."""

    service: str
    """Its name; "" for a workload without a Service."""
    labels: Mapping[str, str]
    """Of the pods that serve."""
    port: int | str
    """Of their containers, by number or by name."""


def route_to(workload: Workload, port: int, services: Iterable[Object]) -> Route:
    """By its Service among those of its namespace, else straight to the pods that serve HTTP."""
    graph = workload.ref.kind == "DynamoGraphDeployment"
    template = {} if graph else workload.serving
    labels = (template.get("metadata") or {}).get("labels") or {}
    ports: set[Any] = {port, *(["http"] if graph else _names(template.get("spec") or {}, port))}
    for service in services:
        spec, name = service["spec"], str(service["metadata"]["name"])
        selector = spec.get("selector") or {}
        ours = name == f"{workload.ref.name}-frontend" if graph else selector.items() <= labels.items()
        leading = (one.get("targetPort", one["port"]) for one in spec.get("ports") or ())
        if ours and (selector or graph) and (to := next((one for one in leading if one in ports), None)):
            return Route(name, selector or workload.frontend_labels, to)
    return Route("", workload.frontend_labels, port)


def port_in(pod: Object, route: Route, port: int) -> int:
    """The number of the route's port in a pod; `port` where the pod does not name one so."""
    named = (
        int(one["containerPort"])
        for container in containers(pod["spec"])
        for one in container.get("ports") or ()
        if one.get("name") == route.port
    )
    return route.port if isinstance(route.port, int) else next(named, port)


def _names(spec: Mapping[str, Any], port: int) -> list[str]:
    """What containers call a port."""
    declared = [one for each in containers(spec) for one in each.get("ports") or ()]
    return [one["name"] for one in declared if one["containerPort"] == port and one.get("name")]
