"""Garbage collection: objects whose owner was deleted are deleted (background propagation)."""

from collections.abc import Iterable

from offbus_sandbox.controllers.controller import Controller
from offbus_sandbox.store.history import Change
from offbus_sandbox.store.owners import owner_uids
from offbus_sandbox.store.served import SERVED
from offbus_steps.port import Ref, WatchType

__all__ = ["GarbageCollector"]


class GarbageCollector(Controller[Ref]):
    """Deletes objects whose owners are all gone; an object with the owner's name but another uid is not the owner."""

    def keys(self, change: Change) -> Iterable[Ref]:
        """An object that has owners, and everything that a deleted object owned."""
        if change.type is WatchType.DELETED:
            uid = change.object["metadata"]["uid"]
            for kind in SERVED:
                yield from (Ref.of(o) for o in self.store.each(kind) if uid in owner_uids(o))
        elif owner_uids(change.object):
            yield Ref.of(change.object)

    def reconcile(self, key: Ref) -> None:
        """Delete it if none of its owners exists any more."""
        obj = self.store.find(key)
        if obj is None or obj["metadata"].get("deletionTimestamp"):
            return
        references = obj["metadata"].get("ownerReferences") or ()
        for reference in references:
            resource = SERVED.get(reference["kind"])
            if resource is None:
                return  # of a kind that is not served here: it may exist elsewhere
            namespace = key.namespace if resource.namespaced else ""
            owner = self.store.find(Ref(reference["kind"], reference["name"], namespace))
            if owner is not None and owner["metadata"]["uid"] == reference["uid"]:
                return
        if references:
            self.store.delete(key)
