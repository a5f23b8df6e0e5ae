"""A DynamoGraphDeployment controller for tests, on the port: makes of a graph what Dynamo's operator makes of it.

For each service (v1alpha1) or component (v1beta1) a Deployment with the operator's names, labels, ports and
environment (reference/dynamo.md, section 4), a Service for the frontend, a service account that may find the graph's
pods (Dynamo's discovery by Kubernetes), and the graph's status. Unlike the operator it knows neither Grove nor
multinode. With `fights`, it answers every foreign change to a Deployment of its own by putting back what it made, as
operators do, and every change of a graph's spec by putting back what it saw first, as GitOps tools do that keep the
repository's; without, it only follows the graph.

    python -m tests.kits.kubernetes.graph_controller --kubeconfig FILE [--fights]
"""

import argparse
import logging
from collections.abc import Mapping
from typing import Any

import anyio

from offbus_sandbox.controllers.graph_template import component_type, deployment_of, services_of
from offbus_sandbox.store.owners import owner_reference
from offbus_steps.kinds import KINDS
from offbus_steps.kubernetes.port import KubernetesPort, open_port
from offbus_steps.kubernetes.rest.api import Call
from offbus_steps.kubernetes.rest.connection import Login
from offbus_steps.port import (
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    NotFound,
    Object,
    Ref,
    Unavailable,
    WatchType,
)
from offbus_steps.workloads.dynamo_graph import GRAPH_LABEL

GRAPH = "DynamoGraphDeployment"
MADE = "offbus.test/made"
"""Annotation on a Deployment: the template's fingerprint, as this controller made it."""

log = logging.getLogger("graph-controller")


def wanted_deployments(graph: Object) -> dict[str, Object]:
    """Service -> its Deployment. v1beta1's prefill and decode keep their own component type (label trap 1)."""
    found = {}
    for name, service in services_of(graph).items():
        made = deployment_of(graph, name, service)
        made["spec"]["strategy"] = {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1},
        }
        made["spec"]["template"]["spec"].setdefault("serviceAccountName", discovery_name(graph))
        found[name] = made
    return found


def discovery_name(graph: Object) -> str:
    """Of the graph's service account, its role and its binding."""
    return f"{graph['metadata']['name']}-k8s-service-discovery"


def discovery_objects(graph: Object) -> dict[str, Object]:
    """Path -> what lets the graph's pods find each other."""
    name, namespace = discovery_name(graph), graph["metadata"]["namespace"]
    meta = {"name": name, "namespace": namespace, "ownerReferences": [owner_reference(graph)]}
    group = "rbac.authorization.k8s.io"
    role = {
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}],
        "metadata": meta,
    }
    binding = {
        "roleRef": {"apiGroup": group, "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
        "metadata": meta,
    }
    roles = f"/apis/{group}/v1/namespaces/{namespace}"
    return {
        f"/api/v1/namespaces/{namespace}/serviceaccounts": {"metadata": meta},
        f"{roles}/roles": role,
        f"{roles}/rolebindings": binding,
    }


def frontend_service(graph: Object, deployment: Object) -> Object:
    """`<graph>-frontend:8000`, in front of the frontend's pods."""
    meta = {key: deployment["metadata"][key] for key in ("namespace", "labels", "ownerReferences")}
    ports = [{"name": "http", "port": 8000, "targetPort": "http"}]
    spec = {"selector": deployment["spec"]["selector"]["matchLabels"], "ports": ports}
    name = f"{graph['metadata']['name']}-frontend"
    return {"apiVersion": "v1", "kind": "Service", "metadata": {**meta, "name": name}, "spec": spec}


class GraphController:
    """Reconciles all graphs of a cluster, for ever."""

    def __init__(self, port: KubernetesPort, *, fights: bool) -> None:
        self._port = port
        self._fights = fights
        self._generations: dict[Ref, int] = {}
        """Deployment -> the generation that our own write gave it: any later one is somebody else's."""
        self._one_at_a_time = anyio.Lock()
        """Both watches lead here, and what one of them is putting back is not foreign to the other."""
        self.reverted: list[Ref] = []
        self._kept: dict[str, Any] = {}
        """A graph's uid -> the spec that it was first seen with: what is in the repository."""

    async def run(self) -> None:
        """Follow graphs and Deployments."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._follow, GRAPH)
            tasks.start_soon(self._follow, "Deployment")

    async def _follow(self, kind: str) -> None:
        while True:
            listing = await self._port.objects.list(kind)
            for obj in listing.items:
                await self._changed(obj)
            try:
                async for event in self._port.objects.watch(kind, resource_version=listing.resource_version):
                    if event.type in (WatchType.ADDED, WatchType.MODIFIED):
                        await self._changed({**event.object, "kind": kind})
            except (Gone, Unavailable) as err:
                log.warning("list again: %s", err)

    async def _changed(self, obj: Object) -> None:
        try:
            await self._reconcile_of(obj)
        except Forbidden as err:
            if "is being terminated" not in err.message:  # its namespace goes, and the graph with it
                raise
        except Invalid as err:  # a graph of which no workload can be made keeps the others from nothing
            log.warning("%s: %s", Ref.of(obj), err.message)

    async def _reconcile_of(self, obj: Object) -> None:
        if obj["kind"] == GRAPH:
            await self._reconcile(obj)
            return
        graph = (obj["metadata"].get("labels") or {}).get(GRAPH_LABEL)
        if graph:
            try:
                found = await self._port.objects.get(Ref(GRAPH, graph, obj["metadata"]["namespace"]))
            except NotFound:
                return
            await self._reconcile(found)

    async def _reconcile(self, graph: Object) -> None:
        async with self._one_at_a_time:
            await self._make_right(graph)

    async def _make_right(self, graph: Object) -> None:
        if graph["metadata"].get("deletionTimestamp"):
            return
        graph = {"apiVersion": KINDS[GRAPH].api_version, **graph, "kind": GRAPH}
        if self._fights:
            kept = await self._keep(graph)
            if kept is None:
                return
            graph = kept
        ready = {}
        for path, obj in discovery_objects(graph).items():
            await self._make(path, obj)
        for name, wanted in wanted_deployments(graph).items():
            now = await self._apply(wanted, graph["metadata"]["generation"])
            ready[name] = service_status(now)
            if component_type(services_of(graph)[name]) == "frontend":
                path = f"/api/v1/namespaces/{graph['metadata']['namespace']}/services"
                await self._make(path, frontend_service(graph, wanted))
        await self._report(graph, ready)

    async def _keep(self, graph: Object) -> Object | None:
        """Put back a spec that somebody changed. None: the graph is newer than this event."""
        kept = self._kept.setdefault(graph["metadata"]["uid"], graph["spec"])
        if graph["spec"] == kept:
            return graph
        ref = Ref.of(graph)
        log.info("%s was changed by somebody else: put back", ref)
        path = f"/apis/{graph['apiVersion']}/namespaces/{ref.namespace}/dynamographdeployments/{ref.name}"
        try:
            put = await self._port.api.json(Call("PUT", path, body={**graph, "spec": kept}))
        except (
            Conflict
        ):  # changed again meanwhile, perhaps put back by the other watch: this one brings it here again
            return None
        self.reverted.append(ref)
        return {**put, "kind": GRAPH}

    async def _apply(self, wanted: Object, generation: int) -> Object:
        ref = Ref.of(wanted)
        wanted["metadata"]["annotations"] = {MADE: str(generation)}
        try:
            now = await self._port.objects.get(ref)
        except NotFound:
            now = await self._create(ref, wanted)
        made = (now["metadata"].get("annotations") or {}).get(MADE)
        foreign = now["metadata"]["generation"] != self._generations.setdefault(
            ref, now["metadata"]["generation"]
        )
        if made == str(generation) and not (foreign and self._fights):
            return now
        if foreign and self._fights:
            log.info("%s was changed by somebody else: put back", ref)
            self.reverted.append(ref)
        return await self._put(ref, now, wanted)

    async def _create(self, ref: Ref, wanted: Object) -> Object:
        try:
            made = await self._port.objects.create(wanted)
        except Conflict:
            return await self._port.objects.get(ref)
        self._generations[ref] = made["metadata"]["generation"]
        return made

    async def _put(self, ref: Ref, now: Object, wanted: Object) -> Object:
        """Replace it whole, as `Update` does: what the other wrote is gone."""
        path = f"/apis/apps/v1/namespaces/{ref.namespace}/deployments/{ref.name}"
        meta = {**wanted["metadata"], "resourceVersion": now["metadata"]["resourceVersion"]}
        try:
            put = await self._port.api.json(Call("PUT", path, body={**wanted, "metadata": meta}))
        except Conflict:  # changed again meanwhile: the watch brings it back here
            return now
        self._generations[ref] = put["metadata"]["generation"]
        return put

    async def _make(self, path: str, obj: Object) -> None:
        try:
            await self._port.api.json(Call("POST", path, body=obj))
        except Conflict:
            return  # it never changes

    async def _report(self, graph: Object, services: Mapping[str, Mapping[str, Any]]) -> None:
        waiting = sorted(name for name, one in services.items() if not one["settled"])
        reason = "some_resources_are_not_ready" if waiting else "all_resources_are_ready"
        condition = {"type": "Ready", "status": "False" if waiting else "True", "reason": reason}
        condition["message"] = f"waiting for {', '.join(waiting)}" if waiting else "all resources are ready"
        status = {
            "observedGeneration": graph["metadata"]["generation"],
            "state": "pending" if waiting else "successful",
            "conditions": [condition],
            "components" if "components" in graph["spec"] else "services": {
                name: one["counts"] for name, one in services.items()
            },
        }
        if all((graph.get("status") or {}).get(key) == value for key, value in status.items()):
            return
        try:
            await self._port.objects.patch(Ref.of(graph), {"status": status}, status=True)
        except NotFound:
            return  # deleted meanwhile


def service_status(deployment: Object) -> dict[str, Any]:
    """What the graph's status says of a Deployment, and whether it is rolled out."""
    status, meta, replicas = (
        deployment.get("status") or {},
        deployment["metadata"],
        deployment["spec"]["replicas"],
    )
    names = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
    counts = {name: status.get(name, 0) for name in names}
    seen = status.get("observedGeneration") == meta["generation"]
    settled = seen and {counts[name] for name in names} == {replicas}
    named = {"componentKind": "Deployment", "componentName": meta["name"], "componentNames": [meta["name"]]}
    return {"settled": settled, "counts": named | counts}


async def run(kubeconfig: str, *, fights: bool) -> None:
    """Run until cancelled."""
    async with open_port(Login(kubeconfig)) as port:
        await GraphController(port, fights=fights).run()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kubeconfig", default="")
    parser.add_argument("--fights", action="store_true")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    anyio.run(lambda: run(args.kubeconfig, fights=args.fights))
