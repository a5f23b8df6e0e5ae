"""What a responder leaves on a node: NVSentinel's documented names, in one place.

Every name is from reference/nvsentinel.md, sections 2.2, 3, 4 and 7; the stand-in responder uses the same. Steps ask
here whether a change came from the responder, undos ask what to remove.
"""

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = [
    "ANNOTATION_PREFIXES",
    "COMPLETE_CONDITION",
    "CORDONED_ANNOTATION",
    "DRAINED_STATES",
    "DRAIN_FAILED",
    "HEALTHY_SUFFIX",
    "LABEL_PREFIXES",
    "MAINTENANCE_KINDS",
    "MANAGED_BY",
    "REMEDIATION_FAILED",
    "REPORTS_NAMESPACE",
    "STATE_LABEL",
    "UNHEALTHY_SUFFIX",
    "cordoned_by_responder",
    "fault_conditions",
    "is_healthy_condition",
    "is_maintenance",
    "is_ours_to_clear",
    "is_report",
    "is_responder_condition",
    "state",
    "uncordoned_by_responder",
]

STATE_LABEL = "dgxc.nvidia.com/nvsentinel-state"
CORDONED_ANNOTATION = "quarantineHealthEventIsCordoned"
CORDON_BY_LABEL = "k8saas.nvidia.com/cordon-by"
UNCORDON_BY_LABEL = "k8saas.nvidia.com/uncordon-by"
LABEL_PREFIXES = ("k8saas.nvidia.com/cordon-", "k8saas.nvidia.com/uncordon-", STATE_LABEL)
ANNOTATION_PREFIXES = (
    "quarantineHealthEvent",
    "quarantinedNode",
    "quarantineValidation",
    "latestFaultRemediationState",
)

REPORTS_NAMESPACE = "default"
"""Where a responder's events about nodes are."""
COMPLETE_CONDITION: Mapping[str, str] = {"RebootNode": "NodeReady", "GPUReset": "Complete"}
"""Maintenance resource -> the condition that tells how it went (`completeConditionType`, section 5)."""
MAINTENANCE_KINDS = tuple(COMPLETE_CONDITION)
"""The resources by which it asks for a reboot or a reset of a node."""
MANAGED_BY = ("app.kubernetes.io/managed-by", "nvsentinel")
"""The label of its maintenance resources."""
REMEDIATION_FAILED = "remediation-failed"
"""No maintenance answers this fault: a human must act."""

DRAINED_STATES = frozenset({"drain-succeeded", "remediating", "remediation-succeeded", "remediation-failed"})
"""States that a node reaches only after its drain has succeeded."""
DRAIN_FAILED = "drain-failed"
"""Terminal: the drain will not go on."""

UNHEALTHY_SUFFIX = "IsNotHealthy"
HEALTHY_SUFFIX = "IsHealthy"


def state(labels: Mapping[str, str]) -> str:
    """The responder's state of a node; "" when it has none."""
    return labels.get(STATE_LABEL, "")


def cordoned_by_responder(labels: Mapping[str, str], annotations: Mapping[str, str]) -> bool:
    """Whether the responder says that the node's cordon is its own."""
    return annotations.get(CORDONED_ANNOTATION) == "True" or CORDON_BY_LABEL in labels


def uncordoned_by_responder(labels: Mapping[str, str], annotations: Mapping[str, str]) -> bool:
    """Whether the responder says that it lifted its quarantine (a manual uncordon leaves another mark)."""
    manually = annotations.get("quarantinedNodeUncordonedManually") == "True"
    return UNCORDON_BY_LABEL in labels and CORDONED_ANNOTATION not in annotations and not manually


def is_ours_to_clear(name: str) -> bool:
    """Whether a label or annotation belongs to the responder's quarantine of a node."""
    return name.startswith(LABEL_PREFIXES) or name.startswith(ANNOTATION_PREFIXES)


def is_responder_condition(condition: Mapping[str, Any]) -> bool:
    """Whether a node condition is one of the responder's (its reason says so)."""
    return str(condition.get("reason", "")).endswith((UNHEALTHY_SUFFIX, HEALTHY_SUFFIX))


def is_report(event: Mapping[str, Any]) -> bool:
    """Whether a Kubernetes Event is a responder's word on a fault: its type is the check, its reason says so."""
    return str(event.get("reason", "")) == f"{event.get('type', '')}{UNHEALTHY_SUFFIX}"


def is_maintenance(labels: Mapping[str, str]) -> bool:
    """Whether a maintenance resource was made by the responder."""
    key, value = MANAGED_BY
    return labels.get(key) == value


def is_healthy_condition(condition: Mapping[str, Any]) -> bool:
    """Whether a condition is a responder's all-clear: it says no more than the condition's absence."""
    return condition.get("status") == "False" and str(condition.get("reason", "")).endswith(HEALTHY_SUFFIX)


def fault_conditions(conditions: Iterable[Mapping[str, Any]]) -> list[str]:
    """The types of the conditions by which the responder calls a node unhealthy now."""
    return sorted(
        str(one["type"])
        for one in conditions
        if one.get("status") == "True" and str(one.get("reason", "")).endswith(UNHEALTHY_SUFFIX)
    )
