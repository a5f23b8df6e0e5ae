"""What a lone API server lacks of a cluster, for whole drills: nodes with GPUs, pods that answer, and controllers.

The kubelets, the scheduler, the workloads' controllers and garbage collection are played, as an administrator.

Pods of Deployments, StatefulSets and LeaderWorkerSets (groups of one) are made from their template, through the API
server, so that admission sees them, each controlled by what Kubernetes puts between (a ReplicaSet, a StatefulSet);
DynamoGraphDeployments are Deployments first (graph_controller). Each gets free GPUs of a node that is not cordoned.
What it answers, and its log, come through the API server's proxies (tunnel).
"""

import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio

from offbus_sandbox.nodes.gpus import gpus_of
from offbus_sandbox.store.owners import owner_reference
from offbus_steps.kinds import KINDS
from offbus_steps.kubernetes.port import KubernetesPort
from offbus_steps.kubernetes.rest.api import Call
from offbus_steps.port import Conflict, Forbidden, Gone, Invalid, NotFound, Object, Ref, Unavailable
from offbus_steps.workloads.gpus import DEVICES_ANNOTATION, GPU_RESOURCE, gpu_request, held_gpus
from offbus_steps.workloads.leader_worker_set import LEADER
from offbus_steps.workloads.workload_kinds import workload_of
from tests.kits.kubernetes.graph_controller import GraphController
from tests.kits.kubernetes.pod_player import set_of

__all__ = ["GPUS", "NODES", "POD_IP", "POD_PORT", "gpus_on", "kubelet_ip", "playing_cluster"]

NODES = ("gpu-a", "gpu-b")
GPUS = 4
"""Of each node."""
POD_PORT = 8000
POD_IP = "10.9.1.1"
"""Of every pod of a target: behind it is one server that answers for all."""
TEMPLATE = "offbus.test/template"
"""Annotation on a pod: the template that it was made from."""
PLAYED = ("Deployment", "StatefulSet", "LeaderWorkerSet")
OURS = "drill-"
"""Namespaces that begin so are played; what runs elsewhere is deployed, and started by hand."""
FOLLOWED = (*PLAYED, "DynamoGraphDeployment", "Pod", "Node", "Namespace", "PersistentVolumeClaim", "Service")


def gpus_on(node: str) -> list[str]:
    """The UUIDs of its GPUs."""
    return [gpu.uuid for gpu in gpus_of(node, NODES.index(node), GPUS)]


def kubelet_ip(node: str) -> str:
    """Where its kubelet would listen."""
    return f"10.9.2.{NODES.index(node) + 1}"


class GpuCluster:
    """Plays until it is cancelled. Whatever changes, everything is looked at again: it is small."""

    def __init__(self, port: KubernetesPort) -> None:
        self._port = port
        self._objects = port.objects
        self._api = port.api
        self._wake = anyio.Event()
        self._led: dict[tuple[str, str], list[dict[str, Any]]] = {}

    async def run(self) -> None:
        async with anyio.create_task_group() as tasks:
            for kind in FOLLOWED:
                tasks.start_soon(self._follow, kind)
            while True:
                self._wake = anyio.Event()
                with suppress(
                    NotFound, Conflict
                ):  # gone or changed meanwhile: then there is a change to follow
                    await self._reconcile()
                await self._wake.wait()

    async def _follow(self, kind: str) -> None:
        while True:
            listing = await self._objects.list(kind)
            self._wake.set()
            with suppress(Gone, Unavailable):
                async for _ in self._objects.watch(kind, resource_version=listing.resource_version):
                    self._wake.set()

    async def _listed(self, kind: str) -> list[Object]:
        listing = await self._objects.list(kind)
        found = [{"apiVersion": KINDS[kind].api_version, **one, "kind": kind} for one in listing.items]
        return [one for one in found if one["metadata"].get("namespace", OURS).startswith(OURS)]

    async def _reconcile(self) -> None:
        owners = [one for kind in PLAYED for one in await self._listed(kind)]
        graphs = await self._listed("DynamoGraphDeployment")
        alive = {one["metadata"]["uid"] for one in (*owners, *graphs)}
        for one in (*owners, *await self._listed("Service"), *await self._listed("ReplicaSet")):
            if owned_by_none_of(one, alive):
                await self._objects.delete(Ref.of(one))
                alive.discard(one["metadata"]["uid"])
        owners = [one for one in owners if one["metadata"]["uid"] in alive and not is_between(one)]
        await self._finalized()
        pods = [
            one for one in await self._listed("Pod") if TEMPLATE in (one["metadata"].get("annotations") or {})
        ]
        for pod in pods:
            if owned_by_none_of(pod, alive) or "deletionTimestamp" in pod["metadata"]:
                await self._objects.delete(Ref.of(pod), grace_seconds=0)
            elif (pod.get("status") or {}).get("phase") != "Running":
                await self._objects.patch(Ref.of(pod), {"status": ready_pod()}, status=True)
        await self._endpoints([pod for pod in pods if (pod.get("status") or {}).get("phase") == "Running"])
        for one in owners:
            mine = [pod for pod in pods if one["metadata"]["uid"] in owners_of(pod)]
            await self._play(one, [pod for pod in mine if "deletionTimestamp" not in pod["metadata"]])

    async def _play(self, owner: Object, pods: list[Object]) -> None:
        current = template_of(owner)
        old = [pod for pod in pods if pod["metadata"]["annotations"][TEMPLATE] != current]
        for number in range(owner["spec"]["replicas"]):
            name = f"{owner['metadata']['name']}-{number}"
            if all(pod["metadata"]["name"] != name for pod in pods):
                with suppress(Conflict, Forbidden):  # the one before it is still ending, or its namespace is
                    await self._make(owner, name, current)
        if old:
            await self._objects.delete(Ref.of(old[0]))
        ready = sum((pod.get("status") or {}).get("phase") == "Running" for pod in pods)
        counts = dict.fromkeys(("replicas", "readyReplicas", "availableReplicas"), ready)
        status = {
            **counts,
            "updatedReplicas": ready - len(old),
            "observedGeneration": owner["metadata"]["generation"],
        }
        if owner["kind"] == "StatefulSet":
            status |= {"updateRevision": "new", "currentRevision": "old" if old else "new"}
        have = owner.get("status") or {}
        if any(have.get(key, 0) != value for key, value in status.items()):
            await self._objects.patch(Ref.of(owner), {"status": status}, status=True)

    async def _make(self, owner: Object, name: str, template: str) -> None:
        (part,) = workload_of(owner).parts()
        serving = workload_of(owner).serving
        labels = {**(serving.get("metadata") or {}).get("labels", {}), **workload_of(owner).selector}
        labels |= LEADER if owner["kind"] == "LeaderWorkerSet" else {}
        spec = dict(part.spec)
        node, gpus = await self._placed(gpu_request(spec))
        devices = {"devices": {GPU_RESOURCE: gpus}}
        meta = {
            "name": name,
            "namespace": owner["metadata"]["namespace"],
            "labels": labels,
            "annotations": {TEMPLATE: template, DEVICES_ANNOTATION: json.dumps(devices)},
            "ownerReferences": await self._makers(owner),
        }
        spec |= {"nodeName": node}
        await self._objects.create({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})

    async def _makers(self, owner: Object) -> list[dict[str, Any]]:
        """What controls its pods; and beside it the owner itself, by which it is known here whose they are."""
        if owner["kind"] == "StatefulSet":
            return [owner_reference(owner)]
        between = await (
            self._groups(owner) if owner["kind"] == "LeaderWorkerSet" else set_of(self._port, owner)
        )
        return [owner_reference(between), {**owner_reference(owner), "controller": False}]

    async def _groups(self, owner: Object) -> Object:
        """The StatefulSet of a LeaderWorkerSet's leaders; it makes none itself."""
        meta = {key: owner["metadata"][key] for key in ("name", "namespace")}
        made = {
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "metadata": {**meta, "ownerReferences": [owner_reference(owner)]},
            "spec": {
                "replicas": 0,
                "serviceName": owner["metadata"]["name"],
                "selector": {"matchLabels": {"app": "leaders"}},
                "template": {
                    "metadata": {"labels": {"app": "leaders"}},
                    "spec": {"containers": [{"name": "main", "image": "none"}]},
                },
            },
        }
        with suppress(Conflict):
            return await self._objects.create(made)
        return {**made, "metadata": (await self._objects.get(Ref.of(made)))["metadata"]}

    async def _placed(self, number: int) -> tuple[str, list[str]]:
        """A node that takes pods, and that many of its free GPUs."""
        held = {gpu for pod in await self._listed("Pod") for gpu in held_gpus(pod)}
        for node in sorted(await self._listed("Node"), key=lambda one: str(one["metadata"]["name"])):
            name = str(node["metadata"]["name"])
            free = [gpu for gpu in gpus_on(name) if gpu not in held]
            if not node["spec"].get("unschedulable") and len(free) >= number:
                return name, free[:number]
        raise Conflict("no node has room")

    async def _endpoints(self, pods: list[Object]) -> None:
        """Of each Service: one of its ready pods. The API server's proxy believes no address without its pod."""
        for service in await self._listed("Service"):
            name, namespace = (str(service["metadata"][key]) for key in ("name", "namespace"))
            wanted = (service["spec"].get("selector") or {}).items()
            ready = [
                {
                    "ip": POD_IP,
                    "targetRef": {"kind": "Pod", "namespace": namespace, "name": pod["metadata"]["name"]},
                }
                for pod in pods
                if pod["metadata"]["namespace"] == namespace and wanted <= pod["metadata"]["labels"].items()
            ]
            ports = [{"name": one.get("name", ""), "port": POD_PORT} for one in service["spec"]["ports"]]
            subsets = [{"addresses": ready[:1], "ports": ports}] if wanted and ready else []
            if self._led.get((namespace, name)) != subsets:
                await self._lead(namespace, name, subsets)
                self._led[namespace, name] = subsets

    async def _lead(self, namespace: str, name: str, subsets: list[dict[str, Any]]) -> None:
        path = f"/api/v1/namespaces/{namespace}/endpoints"
        body = {"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": name}, "subsets": subsets}
        try:
            await self._api.json(Call("PUT", f"{path}/{name}", body=body))
        except NotFound:
            await self._api.json(Call("POST", path, body=body))

    async def _finalized(self) -> None:
        """What ends only when a controller has agreed."""
        for kind in ("Namespace", "PersistentVolumeClaim"):
            for one in await self._listed(kind):
                if "deletionTimestamp" not in one["metadata"]:
                    continue
                if kind == "Namespace":
                    path = f"/api/v1/namespaces/{one['metadata']['name']}/finalize"
                    body = {**one, "spec": {**one["spec"], "finalizers": []}}
                    await self._api.json(Call("PUT", path, body=body))
                else:
                    await self._objects.patch(Ref.of(one), {"metadata": {"finalizers": None}})


def owners_of(obj: Object) -> list[str]:
    return [str(one["uid"]) for one in obj["metadata"].get("ownerReferences") or ()]


def owned_by_none_of(obj: Object, alive: Iterable[str]) -> bool:
    """Whether garbage collection deletes it."""
    return bool(owners_of(obj)) and not set(owners_of(obj)) & set(alive)


def is_between(obj: Object) -> bool:
    """Whether it is a LeaderWorkerSet's StatefulSet, which has no pods of its own here."""
    owners = obj["metadata"].get("ownerReferences") or ()
    return any(one["kind"] == "LeaderWorkerSet" for one in owners)


def template_of(owner: Object) -> str:
    """Names its present template."""
    (part,) = workload_of(owner).parts()
    return str(abs(hash(json.dumps(part.spec, sort_keys=True))))


def ready_pod() -> dict[str, Any]:
    ready = {"type": "Ready", "status": "True"}
    return {"phase": "Running", "conditions": [ready], "podIP": POD_IP, "podIPs": [{"ip": POD_IP}]}


async def make_nodes(port: KubernetesPort) -> None:
    """As their kubelets register them, and without the taint that a controller takes away."""
    for name in NODES:
        labels = {"nvidia.com/gpu.present": "true", "kubernetes.io/hostname": name}
        meta = {"name": name, "labels": labels}
        await port.objects.create({"apiVersion": "v1", "kind": "Node", "metadata": meta})
        await port.objects.patch(Ref("Node", name), {"spec": {"taints": None}})
        amounts = {GPU_RESOURCE: str(GPUS), "pods": "110", "cpu": "64", "memory": "64Gi"}
        status = {
            "capacity": amounts,
            "allocatable": amounts,
            "addresses": [{"type": "InternalIP", "address": kubelet_ip(name)}],
            "conditions": [{"type": "Ready", "status": "True"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
        }
        await port.objects.patch(Ref("Node", name), {"status": status}, status=True)


@asynccontextmanager
async def playing_cluster(port: KubernetesPort) -> AsyncIterator[None]:
    """Its nodes are made first; it plays while the block runs."""
    await make_nodes(port)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(GpuCluster(port).run)
        tasks.start_soon(graphs, port)
        yield
        tasks.cancel_scope.cancel()


async def graphs(port: KubernetesPort) -> None:
    with suppress(Invalid):
        await GraphController(port, fights=False).run()
