"""Owner references: written and followed."""

from collections.abc import Iterator
from typing import Any

from offbus_sandbox.store.store import Store
from offbus_steps.port import Object, Ref
from offbus_steps.workloads.dynamo_graph import GRAPH_LABEL
from offbus_steps.workloads.labels import labels_of

__all__ = ["HASH_LABEL", "controller_of", "dependents", "graph_of", "owner_reference", "owner_uids"]

HASH_LABEL = "pod-template-hash"
"""On a Deployment's ReplicaSets and their pods: the hash of their template."""


def owner_reference(owner: Object) -> dict[str, Any]:
    """The reference that makes `owner` the controller of an object."""
    meta = owner["metadata"]
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": meta["name"],
        "uid": meta["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def controller_of(obj: Object) -> Ref | None:
    """The controller of an object, if it has one."""
    for owner in obj["metadata"].get("ownerReferences") or ():
        if owner.get("controller"):
            return Ref(owner["kind"], owner["name"], obj["metadata"].get("namespace", ""))
    return None


def owner_uids(obj: Object) -> set[str]:
    """The uids of an object's owners."""
    return {owner["uid"] for owner in obj["metadata"].get("ownerReferences") or ()}


def dependents(store: Store, kind: str, owner: Object) -> Iterator[Object]:
    """The objects of a kind that `owner` controls."""
    uid = owner["metadata"]["uid"]
    for obj in store.each(kind, owner["metadata"].get("namespace", "")):
        if uid in owner_uids(obj):
            yield obj


def graph_of(pod: Object) -> str:
    """The workload whose pods discover one another: the graph, else the pod's controller, else the pod itself."""
    labels = labels_of(pod)
    if GRAPH_LABEL in labels:
        return labels[GRAPH_LABEL]
    owner = controller_of(pod)
    if owner is None:
        return str(pod["metadata"]["name"])
    return owner.name.removesuffix(f"-{labels.get(HASH_LABEL)}")  # a Deployment's ReplicaSet is NAME-HASH
