"""Which maintenance resource an event requires. Pure: builds the object and the annotation.

As NVSentinel's fault-remediation: RESTART_VM and RESTART_BM require a RebootNode, and so does COMPONENT_RESET unless it
is mapped to a GPUReset of that GPU (its test values); a reboot covers resets. An action without a mapping
(CONTACT_SUPPORT) cannot be remediated. Must not: create anything.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from offbus_sandbox.responder.condition import kube_time
from offbus_sandbox.responder.controller.node_view import NodeView
from offbus_sandbox.responder.health_event import HealthEvent
from offbus_steps.kinds import KINDS
from offbus_steps.nvsentinel import names
from offbus_steps.nvsentinel.names import RecommendedAction
from offbus_steps.port import Object

__all__ = ["RESTART_GROUP", "Remediation", "record_json", "remediation"]

RESTART_GROUP = "restart"
_REBOOTS = (RecommendedAction.RESTART_VM, RecommendedAction.RESTART_BM)


@dataclass(frozen=True, slots=True)
class Remediation:
    """One maintenance resource to create."""

    group: str
    action: RecommendedAction
    object: Object


def remediation(node: NodeView, event: HealthEvent, reset_by: str) -> Remediation | None:
    """What the event requires; None when nothing is mapped to its action."""
    action = event.recommendedAction
    if action in _REBOOTS or (action is RecommendedAction.COMPONENT_RESET and reset_by == names.REBOOT):
        return Remediation(RESTART_GROUP, action, _object(names.REBOOT, node, event, {"force": False}))
    uuid = next((one.entityValue for one in event.entitiesImpacted if one.entityType == "GPU_UUID"), "")
    if action is RecommendedAction.COMPONENT_RESET and uuid:
        made = _object(names.RESET, node, event, {"selector": {"uuids": [uuid]}})
        return Remediation(f"reset-{uuid}", action, made)
    return None


def record_json(node: NodeView, made: Remediation, now: datetime) -> str:
    """The annotation `latestFaultRemediationState`, with this one added."""
    groups: dict[str, Mapping[str, str]] = dict(node.remediations)
    groups[made.group] = {
        "maintenanceCR": made.object["metadata"]["name"],
        "createdAt": kube_time(now),
        "actionName": made.action.name,
    }
    return json.dumps({"equivalenceGroups": groups})


def _object(kind: str, node: NodeView, fault: HealthEvent, spec: Mapping[str, Any]) -> Object:
    key, value = names.MANAGED_BY
    owner = {"apiVersion": "v1", "kind": "Node", "name": node.name, "uid": node.object["metadata"]["uid"]}
    return {
        "apiVersion": KINDS[kind].api_version,
        "kind": kind,
        "metadata": {
            "name": f"maintenance-{node.name}-{fault.id}",
            "labels": {key: value},
            "ownerReferences": [owner],
        },
        "spec": {"nodeName": node.name, **spec},
    }
