"""NVSentinel's names: labels, annotations, states, checks and actions, spelt as its programs spell them.

Sources: fault-quarantine/pkg/common/common.go, the statemanager package, data-models' health_event.proto and
the default charts of NVIDIA/NVSentinel. Nothing here has behaviour.
"""

from enum import IntEnum, StrEnum

__all__ = [
    "AGENT",
    "BREAKER",
    "CORDONED_BY_US",
    "CORDON_BY",
    "CORDON_PRE_EXISTING",
    "CORDON_REASON",
    "CORDON_TIMESTAMP",
    "GPU_PRESENT",
    "MANAGED_BY",
    "MANUALLY_UNCORDONED",
    "OPT_OUT",
    "QUARANTINE_EVENTS",
    "REMEDIATION_STATE",
    "RULESET",
    "SERVICE",
    "STATE",
    "TRUE",
    "UNCORDON_BY",
    "UNCORDON_REASON",
    "UNCORDON_TIMESTAMP",
    "XID_CHECK",
    "NodeState",
    "RecommendedAction",
]

AGENT = "syslog-health-monitor"
SERVICE = "NVSentinel"
XID_CHECK = "SysLogsXIDError"
RULESET = "Syslog fatal error ruleset"
"""The rule set of the default chart that an XID matches; it becomes the cordon's reason."""

QUARANTINE_EVENTS = "quarantineHealthEvent"
CORDONED_BY_US = "quarantineHealthEventIsCordoned"
CORDON_PRE_EXISTING = "quarantineHealthEventCordonPreExisting"
MANUALLY_UNCORDONED = "quarantinedNodeUncordonedManually"
REMEDIATION_STATE = "latestFaultRemediationState"
TRUE = "True"
"""How these annotations, and conditions, say yes."""

STATE = "dgxc.nvidia.com/nvsentinel-state"
CORDON_BY = "k8saas.nvidia.com/cordon-by"
CORDON_REASON = "k8saas.nvidia.com/cordon-reason"
CORDON_TIMESTAMP = "k8saas.nvidia.com/cordon-timestamp"
UNCORDON_BY = "k8saas.nvidia.com/uncordon-by"
UNCORDON_REASON = "k8saas.nvidia.com/uncordon-reason"
UNCORDON_TIMESTAMP = "k8saas.nvidia.com/uncordon-timestamp"

GPU_PRESENT = "nvidia.com/gpu.present"
OPT_OUT = ("k8saas.nvidia.com/ManagedByNVSentinel", "nvsentinel.dgxc.nvidia.com/managed")
"""Labels that take a node out of NVSentinel's hands when they are "false"."""
MANAGED_BY = ("app.kubernetes.io/managed-by", "nvsentinel")
BREAKER = "circuit-breaker"


class NodeState(StrEnum):
    """Values of the state label, in the order in which a fault walks through them."""

    QUARANTINED = "quarantined"
    DRAINING = "draining"
    DRAIN_SUCCEEDED = "drain-succeeded"
    DRAIN_FAILED = "drain-failed"
    REMEDIATING = "remediating"
    REMEDIATION_SUCCEEDED = "remediation-succeeded"
    REMEDIATION_FAILED = "remediation-failed"


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
