"""Whether a pod may run on a node: Kubernetes' filters, as far as drills use them. Pure functions.

Each filter uses the text of Kubernetes' scheduler, so that a Pending pod has the same message here as there.
GPUs and the number of pods are the only resources: CPU and memory are this machine's, shared by all nodes.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from offbus_sandbox.store.selector import labels_of, matches_expression
from offbus_sandbox.store.tolerations import tolerates
from offbus_steps.port import Object
from offbus_steps.workloads.gpus import GPU_RESOURCE, held_gpus
from offbus_steps.workloads.pods import is_finished
from offbus_steps.workloads.quantity import whole
from offbus_steps.workloads.requests import pod_requests

__all__ = ["free_gpus", "gpus_wanted", "holds_resources", "refusals", "unsupported"]

UNSCHEDULABLE_TAINT = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
BLOCKING = frozenset({"NoSchedule", "NoExecute"})


def refusals(pod: Object, node: Object, gpus: Sequence[str], on_node: Sequence[Object]) -> Iterator[str]:
    """Why `pod` may not run on `node` now; empty when it may. `on_node` are the pods that hold its resources."""
    spec = pod["spec"]
    if node["spec"].get("unschedulable") and not tolerates(spec, UNSCHEDULABLE_TAINT):
        yield "node(s) were unschedulable"
    for taint in node["spec"].get("taints") or ():
        if taint.get("effect") in BLOCKING and not tolerates(spec, taint):
            yield f"node(s) had untolerated taint {{{taint['key']}: {taint.get('value') or ''}}}"
            break
    if not matches_node(spec, node):
        yield "node(s) didn't match Pod's node affinity/selector"
    if gpus_wanted(pod) > len(free_gpus(gpus, on_node)):
        yield f"Insufficient {GPU_RESOURCE}"
    if len(on_node) >= whole(node["status"]["allocatable"]["pods"]):
        yield "Too many pods"


def gpus_wanted(pod: Object) -> int:
    """GPUs that a pod needs on its node."""
    return int(pod_requests(pod["spec"]).get(GPU_RESOURCE, 0))


def free_gpus(gpus: Sequence[str], on_node: Sequence[Object]) -> list[str]:
    """The node's GPUs that no pod holds, in order of their index."""
    held = {uuid for pod in on_node for uuid in held_gpus(pod)}
    return [uuid for uuid in gpus if uuid not in held]


def holds_resources(pod: Object) -> bool:
    """A pod holds its resources until it has ended, also while it is being deleted."""
    return bool(pod["spec"].get("nodeName")) and not is_finished(pod)


def matches_node(spec: Mapping[str, Any], node: Object) -> bool:
    """nodeSelector and required node affinity."""
    labels = labels_of(node)
    wanted = spec.get("nodeSelector") or {}
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    return required is None or any(matches_term(term, node) for term in required["nodeSelectorTerms"])


def matches_term(term: Mapping[str, Any], node: Object) -> bool:
    """One nodeSelectorTerm: all its expressions on labels and on the node's name."""
    fields = {"metadata.name": node["metadata"]["name"]}
    on_labels = all(matches_expression(e, labels_of(node)) for e in term.get("matchExpressions") or ())
    return on_labels and all(matches_expression(e, fields) for e in term.get("matchFields") or ())


def unsupported(pod: Object) -> str | None:
    """A requirement that this scheduler does not support; such a pod stays Pending instead of getting a wrong node."""
    spec = pod["spec"]
    for kind in ("podAffinity", "podAntiAffinity"):
        rules = (spec.get("affinity") or {}).get(kind) or {}
        if rules.get("requiredDuringSchedulingIgnoredDuringExecution"):
            return f"required {kind} is not supported by offbus local"
    hard = [
        c
        for c in spec.get("topologySpreadConstraints") or ()
        if c.get("whenUnsatisfiable") != "ScheduleAnyway"
    ]
    return "a hard topologySpreadConstraint is not supported by offbus local" if hard else None
