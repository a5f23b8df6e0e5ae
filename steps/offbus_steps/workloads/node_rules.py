"""Whether a node accepts a pod, by itself: cordons, taints, nodeSelector and required node affinity.

As Kubernetes' scheduler decides (plugins NodeUnschedulable, TaintToleration, NodeAffinity) and in its words. A
toleration with tolerationSeconds tolerates: how long is the matter of who evicts. Pure, on Kubernetes' own objects.
"""

from collections.abc import Mapping
from typing import Any

from offbus_steps.workloads.labels import labels_of, matches

__all__ = ["matches_node", "node_refusal", "tolerated", "tolerates_all"]

_UNSCHEDULABLE = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
_BLOCKING = frozenset({"NoSchedule", "NoExecute"})


def node_refusal(spec: Mapping[str, Any], node: Mapping[str, Any]) -> str:
    """Why the node does not accept a pod of this PodSpec, whatever runs on it: the first reason; "" when it does."""
    if (node.get("spec") or {}).get("unschedulable") and not _tolerates(spec, _UNSCHEDULABLE):
        return "node(s) were unschedulable"
    if not tolerates_all(spec, node):
        return "node(s) had untolerated taint(s)"
    return "" if matches_node(spec, node) else "node(s) didn't match Pod's node affinity/selector"


def matches_node(spec: Mapping[str, Any], node: Mapping[str, Any]) -> bool:
    """nodeSelector and required node affinity. Raises Invalid for an operator that Kubernetes does not have."""
    labels = labels_of(node)
    if not (spec.get("nodeSelector") or {}).items() <= labels.items():
        return False
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if required is None:
        return True
    fields = {"metadata.name": node["metadata"]["name"]}  # the only field that terms may be about
    for term in required.get("nodeSelectorTerms") or ():
        found = [matches(one, labels) for one in term.get("matchExpressions") or ()]
        found += [matches(one, fields) for one in term.get("matchFields") or ()]
        if found and all(found):  # a term without any expression matches nothing
            return True
    return False


def tolerates_all(spec: Mapping[str, Any], node: Mapping[str, Any]) -> bool:
    """Whether the pod tolerates every taint of the node that keeps pods away."""
    taints = (node.get("spec") or {}).get("taints") or ()
    return all(_tolerates(spec, one) for one in taints if one.get("effect") in _BLOCKING)


def tolerated(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    """Kubernetes' rule: an empty key with Exists matches all, an empty effect matches all effects."""
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint["key"]:
        return False
    if toleration.get("operator") == "Exists":
        return True
    return bool(toleration.get("key")) and (toleration.get("value") or "") == (taint.get("value") or "")


def _tolerates(spec: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    return any(tolerated(one, taint) for one in spec.get("tolerations") or ())
