"""Each kind's own rules for writes: defaults, and checks for mistakes that a controller could not report."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from offbus_sandbox.store.shapes import (
    BudgetSpec,
    ComponentsSpec,
    GraphSpec,
    NodeSpec,
    PodSpec,
    ReplicatedSpec,
    problems,
)
from offbus_steps.port import Invalid, Object, Ref
from offbus_steps.workloads.labels import selects

__all__ = ["check_kind", "default_kind"]

MUTABLE_POD_FIELDS = frozenset({"tolerations", "activeDeadlineSeconds", "terminationGracePeriodSeconds"})
"""The pod spec's fields that an update may change (Kubernetes API reference, "Pod updates"), images aside."""

Problems = Iterator[str]


def default_kind(obj: Object) -> Object:
    """`obj` with the defaults that the API server fills in."""
    match obj["kind"]:
        case "Pod":
            spec = {"restartPolicy": "Always", "terminationGracePeriodSeconds": 30, **given(obj.get("spec"))}
            return {**obj, "spec": spec, "status": {"phase": "Pending"}}
        case "Namespace":
            return {**obj, "status": {"phase": "Active"}}
        case "Deployment" | "ReplicaSet" | "StatefulSet":
            return {**obj, "spec": {"replicas": 1, **given(obj.get("spec"))}}
        case "PodDisruptionBudget" | "Node":
            return {**obj, "spec": given(obj.get("spec"))}
        case _:
            return obj


def check_kind(new: Object, old: Object | None) -> None:
    """Refuse an object that cannot work. Raises Invalid with every problem found."""
    check = CHECKS.get(new["kind"])
    found = list(check(new, old)) if check else []
    if found:
        raise Invalid(f"{Ref.of(new)}: {'; '.join(found)}")


def given(value: Any) -> dict[str, Any]:
    """The fields of `value` that are set: null is absent. A value that is no mapping has none; the check reports it."""
    return (
        {key: item for key, item in value.items() if item is not None} if isinstance(value, Mapping) else {}
    )


def check_pod(new: Object, old: Object | None) -> Problems:
    yield from problems(PodSpec, new["spec"])
    yield from twice([*(new["spec"].get("containers") or ()), *(new["spec"].get("initContainers") or ())])
    if old is None:
        return
    for field in sorted({*new["spec"], *old["spec"]} - MUTABLE_POD_FIELDS):
        if new["spec"].get(field) != old["spec"].get(field):
            yield f"spec.{field} of a pod cannot be changed; change the workload that owns it"


def twice(containers: list[Any]) -> Problems:
    """Report containers of one pod with the same name."""
    names = [c.get("name") for c in containers if isinstance(c, Mapping)]
    if len(set(map(str, names))) != len(names):
        yield "two containers have the same name"


def check_replicated(new: Object, _old: Object | None) -> Problems:
    """Deployments, ReplicaSets and StatefulSets."""
    found = list(problems(ReplicatedSpec, new["spec"]))
    yield from found
    if found:
        return
    spec = new["spec"]
    labels = (spec["template"].get("metadata") or {}).get("labels") or {}
    selector = spec["selector"]
    if not (selector.get("matchLabels") or selector.get("matchExpressions")) or not selects(selector, labels):
        yield "spec.selector must be set and match spec.template.metadata.labels"
    pod = spec["template"]["spec"]
    yield from twice([*pod["containers"], *(pod.get("initContainers") or ())])


def check_graph(new: Object, _old: Object | None) -> Problems:
    """DynamoGraphDeployment: v1beta1 has components, v1alpha1 services."""
    spec = new.get("spec")
    beta = isinstance(spec, Mapping) and "components" in spec
    found = list(problems(ComponentsSpec if beta else GraphSpec, spec))
    if found:
        yield from found
    elif beta:
        for one in new["spec"]["components"]:
            where = f"spec.components[{one['name']}]"
            if any(c["name"] == "main" for c in one["podTemplate"]["spec"]["containers"]):
                yield from check_part(one, where, "podTemplate.spec.containers[main]")
            else:
                yield f"{where}.podTemplate.spec.containers needs a container named main"
    else:
        for name, service in new["spec"]["services"].items():
            yield from check_part(service, f"spec.services.{name}", "extraPodSpec.mainContainer")


def check_part(part: Mapping[str, Any], where: str, container: str) -> Problems:
    """One service or component."""
    if part.get("multinode"):
        yield f"{where}.multinode is not supported here: a pod that spans nodes needs a cluster"
    if "podTemplate" in part:
        main = next(c for c in part["podTemplate"]["spec"]["containers"] if c["name"] == "main")
    else:
        main = part["extraPodSpec"]["mainContainer"]
    if not main.get("command") and not main.get("args"):
        yield f"{where}.{container} needs a command: pods are processes here, and images are not pulled"


CHECKS: Mapping[str, Callable[[Object, Object | None], Problems]] = {
    "Pod": check_pod,
    "Node": lambda new, _old: problems(NodeSpec, new.get("spec")),
    "Deployment": check_replicated,
    "ReplicaSet": check_replicated,
    "StatefulSet": check_replicated,
    "PodDisruptionBudget": lambda new, _old: problems(BudgetSpec, new.get("spec")),
    "DynamoGraphDeployment": check_graph,
}
