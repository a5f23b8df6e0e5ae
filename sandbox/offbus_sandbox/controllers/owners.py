"""Who owns whom: owner references, written and followed."""

from collections.abc import Iterator
from typing import Any

from offbus_sandbox.store.store import Store
from offbus_steps.port import Object, Ref

__all__ = ["HASH_LABEL", "controller_of", "dependents", "owner_reference"]

HASH_LABEL = "pod-template-hash"
"""On the ReplicaSets of a Deployment and their pods: names the template that they were made from."""


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
    """What controls an object, if anything does."""
    for owner in obj["metadata"].get("ownerReferences") or ():
        if owner.get("controller"):
            return Ref(owner["kind"], owner["name"], obj["metadata"].get("namespace", ""))
    return None


def dependents(store: Store, kind: str, owner: Object) -> Iterator[Object]:
    """The objects of a kind that `owner` controls."""
    uid = owner["metadata"]["uid"]
    for obj in store.each(kind, owner["metadata"].get("namespace", "")):
        if any(o["uid"] == uid for o in obj["metadata"].get("ownerReferences") or ()):
            yield obj
