"""Evictions and the budgets that hold them back (policy/v1), decided in one step on the store: no race to lose."""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from offbus_sandbox.controllers.controller import Controller
from offbus_sandbox.controllers.replicaset import is_active
from offbus_sandbox.store.conditions import condition, with_condition
from offbus_sandbox.store.history import Change
from offbus_sandbox.store.owners import controller_of
from offbus_sandbox.store.selector import labels_of, matches_spec
from offbus_sandbox.store.store import Store
from offbus_steps.port import Conflict, Object, Ref, TooManyDisruptions
from offbus_steps.workloads.pods import is_ready

__all__ = ["Budgets", "evict"]


def evict(store: Store, ref: Ref, *, uid: str = "", grace_seconds: int | None = None) -> None:
    """Evict a pod. Raises NotFound, Conflict (another uid), TooManyDisruptions naming the budget."""
    pod = store.get(ref)
    if uid and uid != pod["metadata"]["uid"]:
        raise Conflict(f"{ref} has uid {pod['metadata']['uid']}, not {uid}")
    if is_active(pod) and is_ready(pod):  # one that serves nobody may always go (IfHealthyBudget met or not)
        for budget in budgets_of(store, pod):
            check_budget(store, budget, ref)
    target = condition("DisruptionTarget", True, "EvictionByEvictionAPI", "Eviction API: evicting")
    conditions = with_condition(pod["status"].get("conditions", []), target)
    store.set_status(ref, {**pod["status"], "conditions": conditions})
    store.delete(ref, grace_seconds=grace_seconds)


def check_budget(store: Store, budget: Object, ref: Ref) -> None:
    """Refuse when the budget is spent."""
    found = disruption(store, budget)
    if found["disruptionsAllowed"] < 1:
        name = budget["metadata"]["name"]
        needs = f"needs {found['desiredHealthy']} healthy pods and has {found['currentHealthy']} currently"
        raise TooManyDisruptions(
            f"cannot evict {ref} as it would violate the pod's disruption budget: {name} {needs}",
            hint="wait for other pods to become ready, or change the budget",
        )


def budgets_of(store: Store, pod: Object) -> Iterator[Object]:
    """The budgets that select a pod."""
    for budget in store.each("PodDisruptionBudget", pod["metadata"]["namespace"]):
        if matches_spec(budget["spec"].get("selector"), labels_of(pod)):
            yield budget


def disruption(store: Store, budget: Object) -> dict[str, int]:
    """The numbers of a budget's status."""
    namespace, selector = budget["metadata"]["namespace"], budget["spec"].get("selector")
    pods = [p for p in store.each("Pod", namespace) if is_active(p) and matches_spec(selector, labels_of(p))]
    expected = expected_pods(store, pods)
    desired = desired_healthy(budget["spec"], expected)
    healthy = sum(map(is_ready, pods))
    return {
        "expectedPods": expected,
        "desiredHealthy": desired,
        "currentHealthy": healthy,
        "disruptionsAllowed": max(0, healthy - desired),
    }


def expected_pods(store: Store, pods: Iterable[Object]) -> int:
    """As many as the pods' controllers want; pods of nobody count themselves."""
    owners = {controller_of(pod) for pod in pods}
    alone = sum(1 for pod in pods if controller_of(pod) is None)
    found = [store.find(owner) for owner in owners if owner is not None]
    return alone + sum(int(o["spec"]["replicas"]) for o in found if o is not None)


def desired_healthy(spec: Mapping[str, Any], expected: int) -> int:
    """How many must stay; percentages are rounded up, as in Kubernetes."""
    if "maxUnavailable" in spec:
        return max(0, expected - number(spec["maxUnavailable"], expected))
    return number(spec.get("minAvailable", 1), expected)


def number(value: Any, expected: int) -> int:
    """A count or a percentage."""
    if isinstance(value, str) and value.endswith("%"):
        return math.ceil(expected * int(value[:-1]) / 100)
    return int(value)


class Budgets(Controller[Ref]):
    """Keeps the status of budgets, for those who ask before they evict."""

    def keys(self, change: Change) -> Iterable[Ref]:
        """A budget, and those of a pod."""
        if change.object["kind"] == "PodDisruptionBudget":
            yield Ref.of(change.object)
        elif change.object["kind"] == "Pod":
            yield from map(Ref.of, budgets_of(self.store, change.object))

    def reconcile(self, key: Ref) -> None:
        """Report the numbers."""
        budget = self.store.find(key)
        if budget is not None:
            generation = {"observedGeneration": budget["metadata"]["generation"]}
            self.store.set_status(key, {**disruption(self.store, budget), **generation})
