"""Which maintenance resources a node's faults require. Pure: builds the objects and the annotation.

As NVSentinel's fault-remediation with the mapping of its own test values: COMPONENT_RESET requires a GPUReset of that
GPU, RESTART_VM and RESTART_BM a RebootNode; a reboot covers resets. An action without a mapping (CONTACT_SUPPORT)
cannot be remediated. Must not: create anything.
"""

import json
from collections.abc import Mapping, Sequence
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

__all__ = ["Remediation", "record_json", "remediations"]

RESTART_GROUP = "restart"
_REBOOTS = (RecommendedAction.RESTART_VM, RecommendedAction.RESTART_BM)


@dataclass(frozen=True, slots=True)
class Remediation:
    """One maintenance resource to create."""

    group: str
    action: RecommendedAction
    object: Object


def remediations(node: NodeView) -> tuple[Sequence[Remediation], bool]:
    """What is still to be created; and whether every fault has a remediation (created, pending, or covered)."""
    wanted: dict[str, Remediation] = {}
    mapped = True
    reboots_first = sorted(node.tracked, key=lambda fault: fault.recommendedAction not in _REBOOTS)
    for fault in reboots_first:
        found = _for_fault(node, fault)
        mapped = mapped and found is not None
        if found is not None and not {found.group, RESTART_GROUP} & (
            wanted.keys() | node.remediations.keys()
        ):
            wanted[found.group] = found
    return list(wanted.values()), mapped


def record_json(node: NodeView, made: Sequence[Remediation], now: datetime) -> str:
    """The annotation `latestFaultRemediationState`, with these added."""
    groups: dict[str, Mapping[str, str]] = dict(node.remediations)
    for one in made:
        groups[one.group] = {
            "maintenanceCR": one.object["metadata"]["name"],
            "createdAt": kube_time(now),
            "actionName": one.action.name,
        }
    return json.dumps({"equivalenceGroups": groups})


def _for_fault(node: NodeView, fault: HealthEvent) -> Remediation | None:
    action = fault.recommendedAction
    if action in _REBOOTS:
        return Remediation(RESTART_GROUP, action, _object("RebootNode", node, fault, {"force": False}))
    uuid = next((one.entityValue for one in fault.entitiesImpacted if one.entityType == "GPU_UUID"), "")
    if action is RecommendedAction.COMPONENT_RESET and uuid:
        made = _object("GPUReset", node, fault, {"selector": {"uuids": [uuid]}})
        return Remediation(f"reset-{uuid}", action, made)
    return None


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
