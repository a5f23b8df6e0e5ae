"""Evictions and disruption budgets (policy/v1), decided in one step on the store, so without races."""

from collections.abc import Iterable, Iterator

from offbus_sandbox.controllers.controller import Controller
from offbus_sandbox.controllers.replicaset import is_active
from offbus_sandbox.store.conditions import condition, with_condition
from offbus_sandbox.store.history import Change
from offbus_sandbox.store.owners import controller_of
from offbus_sandbox.store.store import Store
from offbus_steps.port import Conflict, Object, Ref, TooManyDisruptions
from offbus_steps.workloads.labels import labels_of, selects
from offbus_steps.workloads.pods import is_ready
from offbus_steps.workloads.quantity import share

__all__ = ["Budgets", "evict"]


def evict(store: Store, ref: Ref, *, uid: str = "", grace_seconds: int | None = None) -> None:
    """Evict a pod. Raises NotFound, Conflict (another uid), TooManyDisruptions with the budget's name."""
    pod = store.get(ref)
    if uid and uid != pod["metadata"]["uid"]:
        raise Conflict(f"{ref} has uid {pod['metadata']['uid']}, not {uid}")
    if is_active(pod) and is_ready(pod):  # a pod that is not ready may always go (IfHealthyBudget met or not)
        for budget in budgets_of(store, pod):
            found = disruption(store, budget)
            if found["disruptionsAllowed"] < 1:
                name = budget["metadata"]["name"]
                needs = f"needs {found['desiredHealthy']} healthy pods and has {found['currentHealthy']} currently"
                raise TooManyDisruptions(
                    f"cannot evict {ref} as it would violate the pod's disruption budget: {name} {needs}",
                    hint="wait for other pods to become ready, or change the budget",
                )
    target = condition("DisruptionTarget", True, "EvictionByEvictionAPI", "Eviction API: evicting")
    conditions = with_condition(pod["status"].get("conditions", []), target)
    store.set_status(ref, {**pod["status"], "conditions": conditions})
    store.delete(ref, grace_seconds=grace_seconds)


def budgets_of(store: Store, pod: Object) -> Iterator[Object]:
    """The budgets that select a pod."""
    for budget in store.each("PodDisruptionBudget", pod["metadata"]["namespace"]):
        if selects(budget["spec"].get("selector"), labels_of(pod)):
            yield budget


def disruption(store: Store, budget: Object) -> dict[str, int]:
    """The numbers of a budget's status."""
    namespace, selector = budget["metadata"]["namespace"], budget["spec"].get("selector")
    pods = [p for p in store.each("Pod", namespace) if is_active(p) and selects(selector, labels_of(p))]
    # expected: the sum of their controllers' replicas; a pod without a controller counts as one
    owners = [controller_of(pod) for pod in pods]
    found = [store.find(owner) for owner in set(owners) if owner is not None]
    expected = owners.count(None) + sum(int(o["spec"]["replicas"]) for o in found if o is not None)
    spec = budget["spec"]
    if "maxUnavailable" in spec:
        desired = max(0, expected - share(spec["maxUnavailable"], expected, up=True))
    else:
        desired = share(spec.get("minAvailable", 1), expected, up=True)
    healthy = sum(map(is_ready, pods))
    return {
        "expectedPods": expected,
        "desiredHealthy": desired,
        "currentHealthy": healthy,
        "disruptionsAllowed": max(0, healthy - desired),
    }


class Budgets(Controller[Ref]):
    """Updates the status of budgets, for clients that check it before they evict."""

    def keys(self, change: Change) -> Iterable[Ref]:
        """A budget, or the budgets that select a pod."""
        if change.object["kind"] == "PodDisruptionBudget":
            yield Ref.of(change.object)
        elif change.object["kind"] == "Pod":
            yield from map(Ref.of, budgets_of(self.store, change.object))

    def reconcile(self, key: Ref) -> None:
        """Update the budget's status."""
        budget = self.store.find(key)
        if budget is not None:
            generation = {"observedGeneration": budget["metadata"]["generation"]}
            self.store.set_status(key, {**disruption(self.store, budget), **generation})
