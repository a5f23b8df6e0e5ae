"""One node for the controller: what it is quarantined for, and what was done about it, from the cluster's object.

Broken annotations are treated as absent, and logged. Must not: change anything.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from pydantic import TypeAdapter, ValidationError

from offbus_sandbox.responder.health_event import HealthEvent
from offbus_steps.nvsentinel import names
from offbus_steps.nvsentinel.names import NodeState
from offbus_steps.port import Object, Ref

__all__ = ["NodeView", "is_managed"]

_EVENTS = TypeAdapter(list[HealthEvent])
_log = logging.getLogger(__name__)


def is_managed(node: Mapping[str, Any]) -> bool:
    """Whether NVSentinel would handle the node: it has GPUs and has not opted out."""
    labels = node["metadata"].get("labels") or {}
    return labels.get(names.GPU_PRESENT) == "true" and not any(
        labels.get(key) == "false" for key in names.OPT_OUT
    )


class NodeView:
    """A parsed node object."""

    def __init__(self, node: Object) -> None:
        self.object = node
        self.ref = Ref.of(node)
        self.name = self.ref.name
        self.version: str = node["metadata"]["resourceVersion"]
        self.labels: Mapping[str, str] = node["metadata"].get("labels") or {}
        self.annotations: Mapping[str, str] = node["metadata"].get("annotations") or {}

    @property
    def unschedulable(self) -> bool:
        """Cordoned by anybody."""
        return bool(self.object.get("spec", {}).get("unschedulable"))

    @property
    def is_being_released(self) -> bool:
        """Nothing is left that it is quarantined for, and the other marks are still there."""
        return self.annotations.get(names.QUARANTINE_EVENTS) == "[]"

    @property
    def was_cordoned_before(self) -> bool:
        """Cordoned by somebody else before our quarantine."""
        return self.annotations.get(names.CORDON_PRE_EXISTING) == names.TRUE

    @property
    def is_uncordoned_by_hand(self) -> bool:
        """Somebody uncordoned a node that we had cordoned (NVSentinel: handleManualUncordon)."""
        return self.annotations.get(names.CORDONED_ANNOTATION) == names.TRUE and not self.unschedulable

    @cached_property
    def tracked(self) -> Sequence[HealthEvent]:
        """The faults for which the node is quarantined."""
        text = self.annotations.get(names.QUARANTINE_EVENTS, "[]")
        try:
            return _EVENTS.validate_json(text)
        except ValidationError:
            _log.error(
                "%s: annotation %s cannot be read: taken as empty",
                self.ref,
                names.QUARANTINE_EVENTS,
            )
            return []

    @cached_property
    def remediations(self) -> Mapping[str, Mapping[str, str]]:
        """The maintenance resources created so far, by equivalence group."""
        try:
            state = json.loads(self.annotations.get(names.REMEDIATION_STATE, "{}"))
            groups = state.get("equivalenceGroups", {})
            return {str(k): dict(v) for k, v in groups.items()}
        except (ValueError, RecursionError, AttributeError, TypeError):
            _log.error(
                "%s: annotation %s cannot be read: taken as empty",
                self.ref,
                names.REMEDIATION_STATE,
            )
            return {}

    def in_state(self, *states: NodeState) -> bool:
        """Whether the state label is one of these."""
        return self.labels.get(names.STATE_LABEL) in states
