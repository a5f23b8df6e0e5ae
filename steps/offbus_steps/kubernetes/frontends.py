"""Where a target's requests go: to its own ready frontend pods, in turn; those that its Service selects if it has one.

A Service leads to any ready pod with the labels of its selector, a stranger's, too, and an EndpointSlice may name any
address: the answer of such a pod would be taken for the target's, and a broken target for one that has recovered. So a
request goes through the proxy of a pod that the target's controllers made; the API server's proxy of Services goes
straight to a pod, too (kubernetes/kubernetes, pkg/registry/core/service/storage: a random ready address).
`offbus_steps.inference.strangers` tells whom a Service leads to besides.

Workload and Service are looked up once for each target and port, its pods again after `FRESH_S`, and all of it after a
request that failed.
"""

import itertools
from dataclasses import dataclass

import anyio

from offbus_steps.kubernetes.objects import KubernetesObjects
from offbus_steps.kubernetes.rest.paths import proxied
from offbus_steps.port import Forbidden, Gone, PortError, Ref, Unavailable
from offbus_steps.watch.owners import Owners
from offbus_steps.workloads.base import Workload
from offbus_steps.workloads.labels import selector_text
from offbus_steps.workloads.pods import is_ready
from offbus_steps.workloads.services import Route, port_in, route_to
from offbus_steps.workloads.target import Target
from offbus_steps.workloads.workload_kinds import workload_of

__all__ = ["Frontends"]

FRESH_S = 1.0


@dataclass(slots=True)
class _Way:
    """Into a target: as what its pods are known, and those that are ready, as they were read last."""

    workload: Workload
    route: Route
    pods: list[tuple[str, int]]
    """Name, and port."""
    at: float


class Frontends:
    """The paths to the targets of a run."""

    def __init__(self, objects: KubernetesObjects) -> None:
        self._objects = objects
        self._ways: dict[tuple[Ref, int], _Way] = {}
        self._owners = Owners()
        self._turns = itertools.count()

    async def path(self, to: Ref, port: int, path: str) -> str:
        """The proxied path for one request. Raises PortError when the target has no ready frontend."""
        if to.kind == "Pod":
            return proxied("pods", to.namespace, to.name, port, path)
        way = self._ways.get((to, port))
        if way is None or anyio.current_time() - way.at > FRESH_S:
            way = self._ways[to, port] = await self._look(to, port, way)
        if not way.pods:
            self.forget(to)
            raise PortError(f"{to} has no ready frontend pod of its own", hint="check its pods' logs")
        name, number = way.pods[next(self._turns) % len(way.pods)]
        return proxied("pods", to.namespace, name, number, path)

    def forget(self, to: Ref) -> None:
        """A request failed: look the target up again before the next one."""
        self._ways = {key: way for key, way in self._ways.items() if key[0] != to}

    async def _look(self, to: Ref, port: int, known: _Way | None) -> _Way:
        try:
            if known is None:
                workload = workload_of({**await self._objects.get(to), "kind": to.kind})
                services = await self._objects.list("Service", namespace=to.namespace)
                route = route_to(workload, port, services.items)
            else:
                workload, route = known.workload, known.route
            target, uid = Target.of(workload, port=port), workload.obj["metadata"]["uid"]
            labels = selector_text({**workload.selector, **route.labels}, workload.expressions)
            ready: list[tuple[str, int]] = []
            async for page in self._objects.pages("Pod", namespace=to.namespace, labels=labels):
                own = await self._owners.its_pods(self._objects, target, uid, page)
                ready += [
                    (one["metadata"]["name"], port_in(one, route, port)) for one in own if is_ready(one)
                ]
        except (Forbidden, Gone) as err:  # no request was sent: the path's failure, never the target's
            raise Unavailable(f"cannot look up where {to} is reached: {err.message}", hint=err.hint) from err
        return _Way(workload, route, sorted(ready), anyio.current_time())
