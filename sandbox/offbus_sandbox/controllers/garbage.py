"""Garbage collection: what a deleted owner leaves behind is deleted (background propagation)."""

from collections.abc import Iterable

from offbus_sandbox.controllers.controller import Controller
from offbus_sandbox.store.history import Change
from offbus_sandbox.store.served import SERVED
from offbus_steps.port import Ref, WatchType

__all__ = ["GarbageCollector"]


class GarbageCollector(Controller[Ref]):
    """Deletes objects whose owners are all gone; an owner of another uid with the same name is not the owner."""

    def keys(self, change: Change) -> Iterable[Ref]:
        """An object that has owners, and all that a deleted one owned."""
        if change.type is WatchType.DELETED:
            uid = change.object["metadata"]["uid"]
            for kind in SERVED:
                yield from (Ref.of(o) for o in self.store.each(kind) if uid in owners(o))
        elif owners(change.object):
            yield Ref.of(change.object)

    def reconcile(self, key: Ref) -> None:
        """Delete it if nobody owns it any more."""
        obj = self.store.find(key)
        if obj is None or obj["metadata"].get("deletionTimestamp"):
            return
        references = obj["metadata"].get("ownerReferences") or ()
        if references and not any(self._exists(key.namespace, owner) for owner in references):
            self.store.delete(key)

    def _exists(self, namespace: str, reference: dict[str, str]) -> bool:
        resource = SERVED.get(reference["kind"])
        if resource is None:
            return True  # of a kind that is not served here: not ours to judge
        namespace_of_owner = namespace if resource.namespaced else ""
        owner = self.store.find(Ref(reference["kind"], reference["name"], namespace_of_owner))
        return owner is not None and owner["metadata"]["uid"] == reference["uid"]


def owners(obj: dict[str, object]) -> set[str]:
    """The uids of an object's owners."""
    meta = obj["metadata"]
    assert isinstance(meta, dict)  # noqa: S101  # the store keeps nothing else
    return {owner["uid"] for owner in meta.get("ownerReferences") or ()}
