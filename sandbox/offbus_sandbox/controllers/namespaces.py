"""Namespaces that are being deleted: everything in them is deleted first, then the namespace."""

from collections.abc import Iterable, Iterator

from offbus_sandbox.controllers.controller import Controller
from offbus_sandbox.store.history import Change
from offbus_sandbox.store.served import SERVED
from offbus_steps.port import Object, Ref

__all__ = ["Namespaces"]

OWNERS_FIRST = ("DynamoGraphDeployment", "Deployment", "ReplicaSet", "StatefulSet")
"""Deleted first: they would recreate what they own."""


class Namespaces(Controller[Ref]):
    """Empties and removes namespaces."""

    def keys(self, change: Change) -> Iterable[Ref]:
        """A namespace, or the namespace of a changed object."""
        if change.object["kind"] == "Namespace":
            yield Ref.of(change.object)
        elif change.object["metadata"].get("namespace"):
            yield Ref("Namespace", change.object["metadata"]["namespace"])

    def reconcile(self, key: Ref) -> None:
        """Delete its content; pods take a while, and their removal triggers the next reconcile."""
        namespace = self.store.find(key)
        if namespace is None or not namespace["metadata"].get("deletionTimestamp"):
            return
        self.store.set_status(key, {"phase": "Terminating"})
        for obj in list(self._content(key.name)):
            if not obj["metadata"].get("deletionTimestamp"):
                self.store.delete(Ref.of(obj))
        if not any(True for _ in self._content(key.name)):
            self.store.remove(key)

    def _content(self, namespace: str) -> Iterator[Object]:
        for kind in (*OWNERS_FIRST, *(k for k in SERVED if k not in OWNERS_FIRST)):
            if SERVED[kind].namespaced:
                yield from self.store.each(kind, namespace)
