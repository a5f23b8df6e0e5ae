"""The object store: one writer, the supervisor's event loop; every call is synchronous and complete when it returns.

Returned objects are the stored ones: callers must not change them. Every write makes a new object, commits it, adds it
to the history, then calls the listeners (which only note what to reconcile).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from offbus_sandbox.store.database import Database
from offbus_sandbox.store.history import Change, History
from offbus_sandbox.store.kinds import check_kind, default_kind
from offbus_sandbox.store.merge import merge
from offbus_sandbox.store.rules import WITHOUT_STATUS, apply_patch, now, prepare_new
from offbus_sandbox.store.served import resource_of
from offbus_steps.port import Conflict, Forbidden, NotFound, Object, ObjectList, Ref, WatchType
from offbus_steps.workloads.labels import Selector, labels_of, parse_selector

__all__ = ["Store", "in_scope"]

Listener = Callable[[Change], None]

RETAINED_CHANGES = 10_000
"""How many changes a watch can resume over: minutes of a busy sandbox."""


class Store:
    """All objects of a sandbox. Raises the port's errors (`offbus_steps.port`)."""

    def __init__(self, database: Database, *, retained_changes: int = RETAINED_CHANGES) -> None:
        """Load everything from the database."""
        self.database = database
        self._objects: dict[str, dict[tuple[str, str], Object]] = {}
        for obj in database.objects():
            self._put(Ref.of(obj), obj)
        self.history = History(database.counter("version"), keep=retained_changes)
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        """Call `listener` after every change, synchronously; it must not write."""
        self._listeners.append(listener)

    def find(self, ref: Ref) -> Object | None:
        """One object, or None."""
        return self._objects.get(ref.kind, {}).get((ref.namespace, ref.name))

    def get(self, ref: Ref) -> Object:
        """One object. Raises NotFound."""
        obj = self.find(ref)
        if obj is None:
            raise NotFound(f"{ref} does not exist")
        return obj

    def each(self, kind: str, namespace: str = "") -> Iterator[Object]:
        """The objects of a kind in the order of their names; `namespace` "" means all."""
        of_kind = self._objects.get(kind, {})
        return iter([of_kind[key] for key in sorted(of_kind) if namespace in ("", key[0])])

    def list(self, kind: str, *, namespace: str = "", labels: str = "") -> ObjectList:
        """The objects of a kind that match, and the version to watch from."""
        resource_of(kind)
        selects = parse_selector(labels)
        items = [obj for obj in self.each(kind, namespace) if selects(labels_of(obj))]
        return ObjectList(items, str(self.history.last))

    def create(self, obj: Mapping[str, Any], *, dry_run: bool = False) -> Object:
        """Store a new object, or return how it would be stored. Raises Conflict when it exists, Invalid."""
        new = default_kind(prepare_new(obj))
        check_kind(new, None)
        ref = Ref.of(new)
        if self.find(ref) is not None:
            raise Conflict(f"{ref} already exists")
        if dry_run:
            return new
        home = Ref("Namespace", ref.namespace)
        found = self.find(home)
        if ref.namespace and found is None:  # made with its first object, and by nothing else
            made = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ref.namespace}}
            self._commit(WatchType.ADDED, home, default_kind(prepare_new(made)))
        elif found is not None and found["metadata"].get("deletionTimestamp"):
            raise Forbidden(
                f"{home} is being terminated: nothing can be created in it", hint="wait until it is gone"
            )
        return self._commit(WatchType.ADDED, ref, new)

    def patch(self, ref: Ref, patch: Mapping[str, Any], *, status: bool = False) -> Object:
        """JSON merge patch; see `offbus_steps.port.Objects.patch`. A patch without changes makes no new version."""
        old = self.get(ref)
        if status and ref.kind in WITHOUT_STATUS:
            raise NotFound(f"{ref.kind} has no status subresource")
        new = apply_patch(old, merge(old, patch), status=status)
        check_kind(new, old)
        if new == old:
            return old
        stored = self._commit(WatchType.MODIFIED, ref, new)
        meta = stored["metadata"]
        waits = meta.get("finalizers") or is_bound_pod(stored) or ref.kind == "Namespace"
        return self.remove(ref) if meta.get("deletionTimestamp") and not waits else stored

    def replace_spec(self, ref: Ref, spec: Mapping[str, Any]) -> Object:
        """Replace the whole spec, for the controller that owns it (what PUT does in Kubernetes)."""
        old = self.get(ref)
        if old["spec"] == spec:
            return old
        meta = {**old["metadata"], "generation": old["metadata"]["generation"] + 1}
        new = {**old, "spec": dict(spec), "metadata": meta}
        check_kind(new, old)
        return self._commit(WatchType.MODIFIED, ref, new)

    def set_status(self, ref: Ref, status: Mapping[str, Any]) -> Object:
        """Replace the whole status, for the controller that owns it."""
        old = self.get(ref)
        new = {**old, "status": dict(status)}
        return old if new == old else self._commit(WatchType.MODIFIED, ref, new)

    def bind(self, ref: Ref, node: str, annotations: Mapping[str, str]) -> Object:
        """Assign a pod to its node, once, as the Binding subresource does."""
        old = self.get(ref)
        spec = {**old["spec"], "nodeName": node}
        meta = {
            **old["metadata"],
            "annotations": {**(old["metadata"].get("annotations") or {}), **annotations},
        }
        return self._commit(WatchType.MODIFIED, ref, {**old, "spec": spec, "metadata": meta})

    def delete(self, ref: Ref, *, uid: str = "", grace_seconds: int | None = None) -> Object:
        """Request deletion. A pod on a node is marked, and stays until its kubelet has ended it."""
        old = self.get(ref)
        if uid and uid != old["metadata"]["uid"]:
            raise Conflict(f"{ref} has uid {old['metadata']['uid']}, not {uid}")
        if grace_seconds != 0 and is_bound_pod(old):
            own_grace = int(old["spec"].get("terminationGracePeriodSeconds", 30))  # 30: Kubernetes' default
            return self._mark(ref, old, own_grace if grace_seconds is None else grace_seconds)
        if old["metadata"].get("finalizers") or ref.kind == "Namespace":
            return self._mark(ref, old, 0)  # a namespace is removed once its controller has emptied it
        return self.remove(ref)

    def remove(self, ref: Ref) -> Object:
        """Remove the object from the store now."""
        return self._commit(WatchType.DELETED, ref, self.get(ref))

    def close(self) -> None:
        """End all watches and close the file."""
        self.history.close()
        self.database.close()

    def _mark(self, ref: Ref, old: Object, grace: int) -> Object:
        meta = old["metadata"]
        if meta.get("deletionTimestamp") and meta.get("deletionGracePeriodSeconds", 0) <= grace:
            return old  # a second deletion may only shorten the first, as in Kubernetes
        marked = {**meta, "deletionTimestamp": now(), "deletionGracePeriodSeconds": grace}
        return self._commit(WatchType.MODIFIED, ref, {**old, "metadata": marked})

    def _commit(self, kind: WatchType, ref: Ref, obj: Object) -> Object:
        version = self.history.last + 1
        stored = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(version)}}
        before = self.find(ref)
        self.database.write(version, ref, None if kind is WatchType.DELETED else stored)
        self._put(ref, None if kind is WatchType.DELETED else stored)
        change = Change(version, kind, stored, before)
        self.history.add(change)
        for listener in self._listeners:
            listener(change)
        return stored

    def _put(self, ref: Ref, obj: Object | None) -> None:
        of_kind = self._objects.setdefault(ref.kind, {})
        if obj is None:
            of_kind.pop((ref.namespace, ref.name), None)
        else:
            of_kind[ref.namespace, ref.name] = obj


def in_scope(changes: Iterable[Change], kind: str, namespace: str, selects: Selector) -> Iterator[Change]:
    """The changes as a watch with that selector sees them: entering it is ADDED, leaving it DELETED."""
    for change in changes:
        meta = change.object["metadata"]
        if change.object["kind"] != kind or namespace not in ("", meta.get("namespace", "")):
            continue
        was = change.before is not None and selects(labels_of(change.before))
        is_now = change.type is not WatchType.DELETED and selects(labels_of(change.object))
        if is_now:
            seen = WatchType.MODIFIED if was else WatchType.ADDED
            yield Change(change.version, seen, change.object, change.before)
        elif was:
            yield Change(change.version, WatchType.DELETED, change.object, change.before)


def is_bound_pod(obj: Object) -> bool:
    """A pod that was assigned to a node."""
    return obj["kind"] == "Pod" and bool(obj["spec"].get("nodeName"))
