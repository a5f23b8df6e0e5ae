"""Workloads and pods of somebody else beside a drill's, and what a comparison says after a change of them."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from offbus.runner.fingerprint_diff import differences
from offbus_steps.port import NotFound, Object, Ref
from offbus_steps.workloads.dynamo_graph import GRAPH_LABEL
from tests.kits.steps.bench import bench_on
from tests.kits.steps.timed_port import TimedPort, deployment, node, pod, put
from tests.kits.virtual_time import VirtualClock

__all__ = ["a_pod", "creates", "deletes", "of", "patches", "replica_set", "told"]


def of(obj: Object, namespace: str, owner: str = "", preload: str = "") -> Object:
    """An object in a namespace, for a controller ("ReplicaSet/web-1"), with an LD_PRELOAD."""
    obj["metadata"]["namespace"] = namespace
    if owner:
        kind, _, name = owner.rpartition("/")
        reference = {"apiVersion": "v1", "kind": kind, "name": name, "uid": "u", "controller": True}
        obj["metadata"]["ownerReferences"] = [reference]
    if preload:
        spec = obj["spec"].get("template", obj)["spec"]
        spec["containers"][0]["env"] = [{"name": "LD_PRELOAD", "value": preload}]
    return obj


def a_pod(name: str, namespace: str, owner: str = "", preload: str = "") -> Object:
    return of(pod(name, "x", "node-1"), namespace, owner, preload)


def replica_set(name: str, namespace: str, owner: str) -> Object:
    template = {
        "metadata": {"labels": {"app": "x"}},
        "spec": {"containers": [{"name": "main", "image": "none"}]},
    }
    spec = {"selector": {"matchLabels": {"app": "x"}}, "template": template}
    meta = {"name": name, "namespace": namespace}
    return of(
        {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": meta, "spec": spec}, namespace, owner
    )


async def told(
    folder: Path, change: Callable[[TimedPort], object], *recorded: Any, graph: bool = False
) -> dict[str, str | None]:
    """What differs after the change, and why it is external (None: it is residue).

    With `graph` the Deployment `web` and its pod are a DynamoGraphDeployment's of that name.
    """
    port = TimedPort(folder)
    there = [
        node("node-1"),
        deployment("web", 1),
        replica_set("web-1", "drill", "Deployment/web"),
        a_pod("web-1-a", "drill", "ReplicaSet/web-1"),
        of(deployment("api", 2), "team"),
        replica_set("api-1", "team", "Deployment/api"),
        a_pod("api-1-a", "team", "ReplicaSet/api-1"),
        a_pod("api-1-b", "team", "ReplicaSet/api-1"),
        node("node-2"),
        a_pod("lone", "team"),
        a_pod("lone", "drill"),
        a_pod("train-x", "team", "Job/train"),
        a_pod("proxy-1", "kube-system", "DaemonSet/proxy"),
        of(pod("proxy-2", "x", "node-2"), "kube-system", "DaemonSet/proxy"),
    ]
    if graph:
        of(there[1], "drill", "DynamoComponentDeployment/web")
        there[3]["metadata"]["labels"][GRAPH_LABEL] = "web"
    for obj in there:
        owned(port, obj)
    async with bench_on(port, folder, clock=VirtualClock()) as bench:
        before = await bench.cluster.fingerprint()
        change(port)
        after = await bench.cluster.fingerprint()
        found = {
            item: bench.cluster.external_change(item, before, after, recorded)
            for item, _ in differences(before, after)
        }
    port.store.close()
    return found


def creates(*objects: Object) -> Callable[[TimedPort], None]:
    return lambda port: [owned(port, obj) for obj in objects] and None


def owned(port: TimedPort, obj: Object) -> None:
    """Put it there. Where there is the controller that it names, its reference has its uid, as Kubernetes writes it."""
    for one in obj["metadata"].get("ownerReferences") or ():
        with suppress(NotFound):
            if one["uid"] == "u":
                ref = Ref(one["kind"], one["name"], obj["metadata"]["namespace"])
                one["uid"] = port.store.get(ref)["metadata"]["uid"]
    put(port.store, obj)


def deletes(*refs: Ref) -> Callable[[TimedPort], None]:
    return lambda port: [port.store.delete(ref, grace_seconds=0) for ref in refs] and None


def patches(ref: Ref, patch: dict[str, Any]) -> Callable[[TimedPort], None]:
    return lambda port: port.store.patch(ref, patch, status=True) and None
