"""NoExecute taints: pods that do not tolerate one are deleted, at once or after their tolerationSeconds."""

from collections.abc import Iterable, Mapping
from typing import Any

import anyio

from offbus_sandbox.controllers.controller import Controller
from offbus_sandbox.store.history import Change
from offbus_sandbox.store.store import Store
from offbus_steps.port import Object, Ref
from offbus_steps.workloads.node_rules import tolerated

__all__ = ["TaintEviction"]


class TaintEviction(Controller[Ref]):
    """Deletes pods from nodes whose taints they do not tolerate."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._until: dict[str, float] = {}
        """uid -> when a pod with a bounded toleration must be deleted (anyio.current_time)."""

    def keys(self, change: Change) -> Iterable[Ref]:
        """A pod, or the pods of a node."""
        if change.object["kind"] == "Pod":
            yield Ref.of(change.object)
        elif change.object["kind"] == "Node":
            name = change.object["metadata"]["name"]
            yield from (Ref.of(p) for p in self.store.each("Pod") if p["spec"].get("nodeName") == name)

    def reconcile(self, key: Ref) -> None:
        """Delete the pod if it may not stay, or reconcile again when its time is over."""
        pod = self.store.find(key)
        if pod is None or pod["metadata"].get("deletionTimestamp"):
            return
        node = self.store.find(Ref("Node", pod["spec"].get("nodeName", "")))
        taints = (node or {"spec": {}})["spec"].get("taints") or ()
        bounds = [tolerated_s(pod, t) for t in taints if t.get("effect") == "NoExecute"]
        finite = [bound for bound in bounds if bound is not None]
        uid = pod["metadata"]["uid"]
        if not finite:  # it may stay for ever
            self._until.pop(uid, None)
            return
        until = self._until.setdefault(uid, anyio.current_time() + min(finite))
        if anyio.current_time() >= until:
            del self._until[uid]
            self.store.delete(key)
        else:
            self.look_again(key, until - anyio.current_time())


def tolerated_s(pod: Object, taint: Mapping[str, Any]) -> float | None:
    """Seconds that the pod tolerates the taint; 0: not at all, None: no limit."""
    matching = [t for t in pod["spec"].get("tolerations") or () if tolerated(t, taint)]
    if not matching:
        return 0.0
    bounds = [float(t["tolerationSeconds"]) for t in matching if t.get("tolerationSeconds") is not None]
    return min(bounds) if bounds else None
