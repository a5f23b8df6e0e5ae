"""What is particular to a kind when it is written: defaults, and the mistakes that a controller could not report.

Only what the sandbox relies on is checked; a real API server checks more.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from offbus_sandbox.store.rules import LABEL, checked
from offbus_sandbox.store.selector import matches_spec
from offbus_steps.port import Invalid, Object, Ref

__all__ = ["check_kind", "default_kind"]

MUTABLE_POD_FIELDS = frozenset({"tolerations", "activeDeadlineSeconds", "terminationGracePeriodSeconds"})
"""The pod spec's fields that an update may change (Kubernetes API reference, "Pod updates"), images aside."""
MAX_SERVICES = 25
"""Services of one DynamoGraphDeployment (its CRD's maxProperties)."""


def default_kind(obj: Object) -> Object:
    """`obj` with the defaults that the API server fills in."""
    default = DEFAULTS.get(obj["kind"])
    return default(obj) if default else obj


def check_kind(new: Object, old: Object | None) -> None:
    """Refuse what could not work. Raises Invalid with every problem found."""
    check = CHECKS.get(new["kind"])
    problems = list(check(new, old)) if check else []
    if problems:
        raise Invalid(f"{Ref.of(new)}: {'; '.join(problems)}")


def default_pod(obj: Object) -> Object:
    spec = {"restartPolicy": "Always", "terminationGracePeriodSeconds": 30, **mapping(obj.get("spec"))}
    return {**obj, "spec": spec, "status": {"phase": "Pending"}}


def default_replicas(obj: Object) -> Object:
    return {**obj, "spec": {"replicas": 1, **mapping(obj.get("spec"))}}


def mapping(value: Any) -> Mapping[str, Any]:
    """`value` if it is a mapping, else the empty one (the check that follows reports what is missing)."""
    return value if isinstance(value, Mapping) else {}


def check_pod(new: Object, old: Object | None) -> Iterator[str]:
    yield from check_pod_spec(new["spec"], "spec")
    if old is None:
        return
    fields = {*new["spec"], *old["spec"]} - MUTABLE_POD_FIELDS
    for field in sorted(fields):
        if new["spec"].get(field) != old["spec"].get(field):
            yield f"spec.{field} of a pod cannot be changed; change the workload that owns it"


def check_pod_spec(spec: Mapping[str, Any], where: str) -> Iterator[str]:
    """The parts of a pod spec that scheduler and kubelet need."""
    containers = spec.get("containers")
    if not isinstance(containers, list) or not containers:
        yield f"{where}.containers must be a list with at least one container"
        return
    names = [mapping(c).get("name") for c in [*containers, *(spec.get("initContainers") or ())]]
    yield from check_names(names, where)
    for container in containers:
        yield from check_command(mapping(container), where)
    if spec.get("restartPolicy", "Always") not in {"Always", "OnFailure", "Never"}:
        yield f"{where}.restartPolicy is {spec['restartPolicy']!r}"


def check_names(names: list[Any], where: str) -> Iterator[str]:
    """Names of containers are DNS labels and unique; logs are filed under them."""
    for name in names:
        if not isinstance(name, str) or LABEL.fullmatch(name) is None:
            yield f"{where}: container name {name!r} is not a DNS label"
    if len(set(map(str, names))) != len(names):
        yield f"{where}: two containers have one name"


def check_command(container: Mapping[str, Any], where: str) -> Iterator[str]:
    """`command` and `args` are lists of strings, as everywhere in Kubernetes."""
    for field in ("command", "args"):
        words = container.get(field)
        if words is not None and not (isinstance(words, list) and all(isinstance(w, str) for w in words)):
            yield f"{where}.containers[{container.get('name')}].{field} must be a list of strings"


def check_replicated(new: Object, _old: Object | None) -> Iterator[str]:
    """Deployments and ReplicaSets."""
    spec = new["spec"]
    if not isinstance(spec["replicas"], int) or spec["replicas"] < 0:
        yield f"spec.replicas is {spec['replicas']!r}, not a whole number from 0"
    template = mapping(spec.get("template"))
    labels = mapping(mapping(template.get("metadata")).get("labels"))
    if not mapping(spec.get("selector")).get("matchLabels") or not matches_spec(spec["selector"], labels):
        yield "spec.selector.matchLabels must be set and match spec.template.metadata.labels"
    yield from check_pod_spec(mapping(template.get("spec")), "spec.template.spec")


def check_graph(new: Object, _old: Object | None) -> Iterator[str]:
    """DynamoGraphDeployment v1alpha1."""
    services = mapping(new.get("spec")).get("services")
    if not isinstance(services, Mapping) or not 0 < len(services) <= MAX_SERVICES:
        yield f"spec.services must be a map of 1 to {MAX_SERVICES} services"
        return
    for name, service in services.items():
        yield from check_service(name, mapping(service))


def check_service(name: str, service: Mapping[str, Any]) -> Iterator[str]:
    """One service of a graph; its name becomes part of names of objects."""
    where = f"spec.services.{name}"
    try:
        checked(LABEL, name.lower(), where)
    except Invalid as err:
        yield err.message
    replicas = service.get("replicas", 1)
    if not isinstance(replicas, int) or replicas < 0:
        yield f"{where}.replicas is {replicas!r}, not a whole number from 0"
    main = mapping(mapping(service.get("extraPodSpec")).get("mainContainer"))
    if not main.get("command") and not main.get("args"):
        yield f"{where}.extraPodSpec.mainContainer needs a command: pods are processes here, images are not pulled"
    yield from check_command({"name": "main", **main}, where)


DEFAULTS: Mapping[str, Callable[[Object], Object]] = {
    "Pod": default_pod,
    "Deployment": default_replicas,
    "ReplicaSet": default_replicas,
}
CHECKS: Mapping[str, Callable[[Object, Object | None], Iterator[str]]] = {
    "Pod": check_pod,
    "Deployment": check_replicated,
    "ReplicaSet": check_replicated,
    "DynamoGraphDeployment": check_graph,
}
