"""Where a target's requests go: its Service if it has one, else its ready frontend pods in turn.

A DynamoGraphDeployment's frontend Service is `<name>-frontend` (reference: ai-dynamo/dynamo's operator). A plain
workload's is the one whose selector its pods match and that leads to the wanted port. Found once for each target and
port; a target without a Service is looked up again after `FRESH_S`, as kube-proxy's endpoints lag too, among the pods
that its controllers made. A Service leads to any pod with its labels, a stranger's too: that is where clients' requests
go.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import anyio

from offbus_steps.kubernetes.objects import KubernetesObjects
from offbus_steps.kubernetes.rest.api import Api, Call
from offbus_steps.kubernetes.rest.paths import proxied
from offbus_steps.port import PortError, Ref
from offbus_steps.watch.owners import Owners
from offbus_steps.workloads.labels import selector_text
from offbus_steps.workloads.pods import containers, is_ready
from offbus_steps.workloads.target import Target
from offbus_steps.workloads.workload_kinds import workload_of

__all__ = ["Frontends"]

FRESH_S = 1.0


@dataclass(slots=True)
class _Pods:
    """Ready frontend pods, and when they were read."""

    names: list[str]
    at: float


class Frontends:
    """The paths to the targets of a run."""

    def __init__(self, api: Api, objects: KubernetesObjects) -> None:
        self._api = api
        self._objects = objects
        self._services: dict[tuple[Ref, int], tuple[str, str] | None] = {}
        self._pods: dict[Ref, _Pods] = {}
        self._owners = Owners()
        self._turns = itertools.count()

    async def path(self, to: Ref, port: int, path: str) -> str:
        """The proxied path for one request. Raises PortError when the target has no ready frontend."""
        if to.kind == "Pod":
            return proxied("pods", to.namespace, to.name, port, path)
        if (to, port) not in self._services:
            self._services[to, port] = await self._service(to, port)
        service = self._services[to, port]
        if service is not None:
            return proxied("services", to.namespace, *service, path)
        known, now = self._pods.get(to), anyio.current_time()
        if known is None or now - known.at > FRESH_S:
            workload = workload_of({**await self._objects.get(to), "kind": to.kind})
            labels = {**workload.selector, **workload.frontend_labels}
            selector = selector_text(labels, workload.expressions)
            found = await self._objects.list("Pod", namespace=to.namespace, labels=selector)
            target, uid = Target.of(workload, port=port), workload.obj["metadata"]["uid"]
            own = await self._owners.its_pods(self._objects, target, uid, found)
            ready = sorted(one["metadata"]["name"] for one in own if is_ready(one))
            known = self._pods[to] = _Pods(ready, now)
        names = known.names
        if not names:
            raise PortError(f"{to} has no ready frontend pod", hint="check its pods' logs")
        return proxied("pods", to.namespace, names[next(self._turns) % len(names)], port, path)

    def forget(self, to: Ref) -> None:
        """A request failed: look the target up again before the next one."""
        self._pods.pop(to, None)
        self._services = {key: value for key, value in self._services.items() if key[0] != to}

    async def _service(self, to: Ref, port: int) -> tuple[str, str] | None:
        """Name and port of the target's Service."""
        listed = await self._api.json(Call("GET", f"/api/v1/namespaces/{to.namespace}/services"))
        graph = to.kind == "DynamoGraphDeployment"
        labels: Mapping[str, str] = {}
        ports: set[Any] = {port}  # a Service may refer to the port by number or by name
        if graph:
            ports.add("http")
        else:
            template = workload_of({**await self._objects.get(to), "kind": to.kind}).serving
            labels = (template.get("metadata") or {}).get("labels") or {}
            declared = [one for c in containers(template.get("spec") or {}) for one in c.get("ports") or ()]
            ports |= {one["name"] for one in declared if one["containerPort"] == port and one.get("name")}
        for service in listed["items"]:
            spec, name = service["spec"], service["metadata"]["name"]
            selector = spec.get("selector") or {}
            ours = graph and name == f"{to.name}-frontend"
            if ours or (selector and selector.items() <= labels.items()):
                leading = (
                    one for one in spec.get("ports") or () if one.get("targetPort", one["port"]) in ports
                )
                if (found := next(leading, None)) is not None:
                    return name, str(found["port"])
        return None
