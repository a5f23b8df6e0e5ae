"""Which pods NVSentinel's node-drainer leaves alone, and the modes in which it drains the others, by its chart.

The guards, a plan's look at a responder and the stand-in go by these (charts/node-drainer; docs/configuration/
node-drainer.md; reference/nvsentinel.md, section 4). Pure, and cheap to import.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from offbus_steps.nvsentinel.names import USUAL_NAMESPACE
from offbus_steps.workloads.pods import is_finished, is_of_kubelet

__all__ = ["SYSTEM_NAMESPACES", "SYSTEM_PATTERN", "DrainMode", "is_left_alone"]

SYSTEM_NAMESPACES = (
    USUAL_NAMESPACE,
    "kube-system",
    "gpu-operator",
    "gmp-system",
    "network-operator",
    "skyhook",
)
"""Never drained, unless `systemNamespaces` says otherwise."""
SYSTEM_PATTERN = rf"^({'|'.join(SYSTEM_NAMESPACES)})$"
"""The same as `systemNamespaces` has it."""


class DrainMode(StrEnum):
    """NVSentinel's eviction modes, spelt as in its node-drainer configuration."""

    # in their precedence: of those that match a namespace, the first counts
    IMMEDIATE = "Immediate"
    DELETE_AFTER_TIMEOUT = "DeleteAfterTimeout"
    ALLOW_COMPLETION = "AllowCompletion"


def is_left_alone(pod: Mapping[str, Any]) -> bool:
    """Whether a drain is not about such a pod, whatever its namespace: a DaemonSet's, a static one, one that ended."""
    owners = {owner.get("kind") for owner in pod["metadata"].get("ownerReferences") or ()}
    return "DaemonSet" in owners or is_of_kubelet(pod) or is_finished(pod)
