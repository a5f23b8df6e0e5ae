"""NVSentinel's names: labels, annotations, states, checks, actions and resources, as its programs spell them.

Sources: fault-quarantine/pkg/common/common.go, the statemanager package, data-models' health_event.proto, the default
charts, and lifecycle-manager/internal/controller/validationrequest_*.go of NVIDIA/NVSentinel. Steps use them to tell
whether a change came from the responder, undos to know what to remove; the stand-in responder writes the same names.
"""

from collections.abc import Iterable, Mapping
from enum import IntEnum, StrEnum
from typing import Any, Final

__all__ = [
    "ACTIVE_VALIDATION",
    "AGENT",
    "ANNOTATION_PREFIXES",
    "APPLIED_TAINTS",
    "BREAKER",
    "COMPLETE_CONDITION",
    "CORDONED_ANNOTATION",
    "CORDON_BY",
    "CORDON_PRE_EXISTING",
    "CORDON_REASON",
    "CORDON_TIMESTAMP",
    "DRAINED_STATES",
    "FALLEN_OFF_CHECK",
    "GPU_PRESENT",
    "HEALTHY_SUFFIX",
    "HUMAN_ACTIONS",
    "LABEL_PREFIXES",
    "LABEL_TIME",
    "MAINTENANCE_KINDS",
    "MANAGED_BY",
    "MANUALLY_UNCORDONED",
    "OPT_OUT",
    "QUARANTINE_EVENTS",
    "REBOOT",
    "REMEDIATION_STATE",
    "REPORTS_NAMESPACE",
    "RESET",
    "RULESET",
    "SERVICE",
    "SIGNAL_SENT",
    "STATE_LABEL",
    "TERMINATE",
    "TRUE",
    "UNCORDON_BY",
    "UNCORDON_REASON",
    "UNCORDON_TIMESTAMP",
    "UNHEALTHY_SUFFIX",
    "USUAL_NAMESPACE",
    "VALIDATED",
    "VALIDATION_EVENTS",
    "VALIDATION_FINALIZER",
    "VALIDATION_KIND",
    "VALIDATION_SESSION",
    "VALIDATION_STATE",
    "XID_CHECK",
    "NodeState",
    "RecommendedAction",
    "cordoned_by_responder",
    "fault_conditions",
    "is_healthy_condition",
    "is_maintenance",
    "is_ours_to_clear",
    "is_report",
    "is_responder_condition",
    "quarantine_marks",
    "state",
    "uncordoned_by_responder",
]

USUAL_NAMESPACE = "nvsentinel"
"""Where it is deployed, unless somebody chose another."""
AGENT = "syslog-health-monitor"
SERVICE = "NVSentinel"
XID_CHECK = "SysLogsXIDError"
FALLEN_OFF_CHECK = "SysLogsGPUFallenOff"
"""The check that finds a GPU that is gone, by its line without an XID."""
RULESET = "Syslog fatal error ruleset"
"""The default chart's rule set for XIDs; it becomes the cordon's reason."""

QUARANTINE_EVENTS = "quarantineHealthEvent"
APPLIED_TAINTS = "quarantineHealthEventAppliedTaints"
CORDONED_ANNOTATION = "quarantineHealthEventIsCordoned"
CORDON_PRE_EXISTING = "quarantineHealthEventCordonPreExisting"
MANUALLY_UNCORDONED = "quarantinedNodeUncordonedManually"
REMEDIATION_STATE = "latestFaultRemediationState"
TRUE = "True"
"""The value of these annotations, and conditions, that means yes."""

STATE_LABEL = "dgxc.nvidia.com/nvsentinel-state"
CORDON_BY = "k8saas.nvidia.com/cordon-by"
CORDON_REASON = "k8saas.nvidia.com/cordon-reason"
CORDON_TIMESTAMP = "k8saas.nvidia.com/cordon-timestamp"
UNCORDON_BY = "k8saas.nvidia.com/uncordon-by"
UNCORDON_REASON = "k8saas.nvidia.com/uncordon-reason"
UNCORDON_TIMESTAMP = "k8saas.nvidia.com/uncordon-timestamp"
LABEL_TIME = "%Y-%m-%dT%H-%M-%SZ"
"""How these write a time, in UTC: as a valid label value."""
VALIDATION_EVENTS = "quarantineValidationHealthEvent"
"""The events of a quarantine that ask for a validation, with their tests."""
VALIDATION_SESSION = "nvsentinel.nvidia.com/validation-session"
"""The requests for which a node is validated that have not succeeded: `[{name, tests, failed}]`."""
ACTIVE_VALIDATION = "nvsentinel.nvidia.com/active-validation-request"
VALIDATION_STATE = "nvsentinel.nvidia.com/validation-state"
"""A label: validation-pending, validating, validation-failed."""
VALIDATION_FINALIZER = "nvsentinel.nvidia.com/validation-request"
LABEL_PREFIXES = ("k8saas.nvidia.com/cordon-", "k8saas.nvidia.com/uncordon-", STATE_LABEL)
ANNOTATION_PREFIXES = (QUARANTINE_EVENTS, "quarantinedNode", VALIDATION_EVENTS, REMEDIATION_STATE)
"""Without a validation's marks: they go with its request, and a session may be of others' requests."""

GPU_PRESENT = "nvidia.com/gpu.present"
OPT_OUT = ("k8saas.nvidia.com/ManagedByNVSentinel", "nvsentinel.dgxc.nvidia.com/managed")
"""Labels that exclude a node from NVSentinel when they are "false"."""
BREAKER = "circuit-breaker"

REPORTS_NAMESPACE = "default"
"""The namespace of its events about nodes."""
REBOOT: Final = "RebootNode"
RESET: Final = "GPUReset"
TERMINATE: Final = "TerminateNode"
"""The kinds of its maintenance resources."""
COMPLETE_CONDITION: Mapping[str, str] = {REBOOT: "NodeReady", RESET: "Complete"}
"""Maintenance resource -> the condition with its result (NVSentinel: `completeConditionType`)."""
SIGNAL_SENT = "SignalSent"
"""The condition of a maintenance resource whose repair has begun."""
VALIDATION_KIND = "ValidationRequest"
"""The resource by which it has a repaired node tested before it is uncordoned."""
VALIDATED: Mapping[str, str] = {"Succeeded": "True", "Failed": "False"}
"""The phases with a result, as a condition would say it."""
MAINTENANCE_KINDS = (*COMPLETE_CONDITION, VALIDATION_KIND)
"""The resources by which it requests a reboot, a reset or a validation of a node."""
MANAGED_BY = ("app.kubernetes.io/managed-by", "nvsentinel")
"""The label of its maintenance resources; the template of a validation need not set it."""

UNHEALTHY_SUFFIX = "IsNotHealthy"
HEALTHY_SUFFIX = "IsHealthy"


class NodeState(StrEnum):
    """Values of the state label, in their order during a fault."""

    QUARANTINED = "quarantined"
    DRAINING = "draining"
    DRAIN_SUCCEEDED = "drain-succeeded"
    DRAIN_FAILED = "drain-failed"
    """Terminal: the drain will not continue."""
    REMEDIATING = "remediating"
    REMEDIATION_SUCCEEDED = "remediation-succeeded"
    REMEDIATION_FAILED = "remediation-failed"
    """There is no maintenance for this fault: a human must act."""


DRAINED_STATES = frozenset(
    {
        NodeState.DRAIN_SUCCEEDED,
        NodeState.REMEDIATING,
        NodeState.REMEDIATION_SUCCEEDED,
        NodeState.REMEDIATION_FAILED,
    }
)
"""States that a node reaches only after its drain has succeeded."""


class RecommendedAction(IntEnum):
    """The protobuf enum of the same name."""

    NONE = 0
    COMPONENT_RESET = 2
    CONTACT_SUPPORT = 5
    RUN_FIELDDIAG = 6
    RESTART_VM = 15
    RESTART_BM = 24
    REPLACE_VM = 25
    RUN_DCGMEUD = 26
    CUSTOM = 27
    UNKNOWN = 99


HUMAN_ACTIONS = frozenset(
    one.name
    for one in (
        RecommendedAction.CONTACT_SUPPORT,
        RecommendedAction.RUN_FIELDDIAG,
        RecommendedAction.RUN_DCGMEUD,
        RecommendedAction.UNKNOWN,
    )
)
"""Actions that no maintenance resource answers by default: somebody has to carry them out."""


def state(labels: Mapping[str, str]) -> str:
    """The responder's state of a node; "" when it has none."""
    return labels.get(STATE_LABEL, "")


def cordoned_by_responder(labels: Mapping[str, str], annotations: Mapping[str, str]) -> bool:
    """Whether the responder marks the node's cordon as its own."""
    return annotations.get(CORDONED_ANNOTATION) == TRUE or CORDON_BY in labels


def uncordoned_by_responder(labels: Mapping[str, str], annotations: Mapping[str, str]) -> bool:
    """Whether the responder marks its quarantine as lifted (a manual uncordon leaves another mark)."""
    manually = annotations.get(MANUALLY_UNCORDONED) == TRUE
    return UNCORDON_BY in labels and CORDONED_ANNOTATION not in annotations and not manually


def is_ours_to_clear(name: str) -> bool:
    """Whether a label or annotation belongs to the responder's quarantine of a node."""
    return name.startswith(LABEL_PREFIXES) or name.startswith(ANNOTATION_PREFIXES)


def quarantine_marks(items: Mapping[str, str] | None) -> dict[str, str]:
    """Those of a node's labels or annotations that belong to the responder's quarantine."""
    return {key: value for key, value in (items or {}).items() if is_ours_to_clear(key)}


def is_responder_condition(condition: Mapping[str, Any]) -> bool:
    """Whether a node condition is one of the responder's (its reason says so)."""
    return str(condition.get("reason", "")).endswith((UNHEALTHY_SUFFIX, HEALTHY_SUFFIX))


def is_report(event: Mapping[str, Any]) -> bool:
    """Whether a Kubernetes Event is a responder's report of a fault: its type is the check, its reason repeats it."""
    return str(event.get("reason", "")) == f"{event.get('type', '')}{UNHEALTHY_SUFFIX}"


def is_maintenance(kind: str, labels: Mapping[str, str]) -> bool:
    """Whether a resource of a maintenance kind was created by the responder."""
    key, value = MANAGED_BY
    return kind == VALIDATION_KIND or labels.get(key) == value


def is_healthy_condition(condition: Mapping[str, Any]) -> bool:
    """Whether a condition is a responder's all-clear, which means the same as no condition."""
    return condition.get("status") == "False" and str(condition.get("reason", "")).endswith(HEALTHY_SUFFIX)


def fault_conditions(conditions: Iterable[Mapping[str, Any]]) -> list[str]:
    """The types of the conditions by which the responder marks a node as unhealthy now."""
    return sorted(
        str(one["type"])
        for one in conditions
        if one.get("status") == "True" and str(one.get("reason", "")).endswith(UNHEALTHY_SUFFIX)
    )
