"""Whether pods that lose their node fit elsewhere: GPUs, selectors, taints. Pure, on Kubernetes' own objects.

It answers as the scheduler would for what matters here (NodeResourcesFit for GPUs, NodeSelector and required node
affinity, TaintToleration with NoSchedule and NoExecute, unschedulable); CPU and memory are left to the scheduler.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from offbus_steps.workloads import gpus, pods

__all__ = ["free_gpus", "without_gpus"]

Pod = Mapping[str, Any]
Node = Mapping[str, Any]


def free_gpus(nodes: Iterable[Node], running: Iterable[Pod]) -> dict[str, int]:
    """GPUs that no pod holds, by node."""
    free = {node["metadata"]["name"]: gpus.allocatable_gpus(node) for node in nodes}
    for pod in running:
        name = (pod.get("spec") or {}).get("nodeName")
        if name in free and not pods.is_finished(pod):
            free[name] -= gpus.gpu_request(pod["spec"])
    return free


def without_gpus(
    pending: Iterable[Mapping[str, Any]], nodes: Sequence[Node], running: Sequence[Pod]
) -> list[str]:
    """Which of `pending` (PodSpecs) do not fit on the nodes, for messages; empty when all fit.

    Largest first, each on the fullest node that it fits on.
    """
    free = free_gpus(nodes, running)
    missing = []
    for spec in sorted(pending, key=gpus.gpu_request, reverse=True):
        need = gpus.gpu_request(spec)
        fitting = [
            n["metadata"]["name"] for n in nodes if _accepts(n, spec) and free[n["metadata"]["name"]] >= need
        ]
        if not fitting:
            missing.append(f"{need} GPU(s) on one node" if need else "a node that accepts a pod without GPUs")
            continue
        free[min(fitting, key=lambda name: free[name])] -= need
    return missing


def _accepts(node: Node, spec: Mapping[str, Any]) -> bool:
    node_spec = node.get("spec") or {}
    labels = node["metadata"].get("labels") or {}
    if node_spec.get("unschedulable") or not (spec.get("nodeSelector") or {}).items() <= labels.items():
        return False
    tolerations = spec.get("tolerations") or ()
    taints = [one for one in node_spec.get("taints") or () if one["effect"] != "PreferNoSchedule"]
    return all(_tolerated(one, tolerations) for one in taints) and _affine(labels, spec)


def _tolerated(taint: Mapping[str, Any], tolerations: Iterable[Mapping[str, Any]]) -> bool:
    return any(
        one.get("key") in (None, "", taint["key"])
        and one.get("effect") in (None, "", taint["effect"])
        and (one.get("operator") == "Exists" or one.get("value", "") == taint.get("value", ""))
        for one in tolerations
    )


def _affine(labels: Mapping[str, str], spec: Mapping[str, Any]) -> bool:
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    terms = required.get("nodeSelectorTerms")
    if terms is None:
        return True
    return any(all(_matches(labels, one) for one in term.get("matchExpressions") or ()) for term in terms)


def _matches(labels: Mapping[str, str], rule: Mapping[str, Any]) -> bool:
    value, values = labels.get(rule["key"]), [str(one) for one in rule.get("values") or ()]
    match rule["operator"]:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt":
            return value is not None and int(value) > int(values[0])
        case "Lt":
            return value is not None and int(value) < int(values[0])
    return False
