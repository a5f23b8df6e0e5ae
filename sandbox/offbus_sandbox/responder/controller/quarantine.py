"""Cordon and uncordon: the node's fields that mark it as quarantined. Pure functions that build merge patches.

As in NVSentinel's fault-quarantine. A node that is already cordoned keeps its cordon, gets no cordon labels, and is not
uncordoned at the end. Every patch carries the resource version that it is based on. Must not: evict, or wait.
"""

import re
import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from offbus_sandbox.responder.controller.node_view import NodeView
from offbus_sandbox.responder.health_event import HealthEvent
from offbus_steps.nvsentinel import names
from offbus_steps.nvsentinel.names import NodeState

__all__ = ["cancel_patch", "events_json", "quarantine_patch", "release_patch", "state_patch", "track_patch"]

_REASON_LENGTH = 55
"""NVSentinel cuts the reason so that "-removed" still fits into a label value of 63 characters."""
_NOT_IN_LABEL = re.compile(r"[^a-zA-Z0-9_.-]")
_LABEL_TIME = "%Y-%m-%dT%H-%M-%SZ"
"""A time as a valid label value."""


def quarantine_patch(node: NodeView, faults: Sequence[HealthEvent], now: datetime) -> dict[str, Any]:
    """Cordon the node for these faults; each gets an id of 24 hex digits, as in NVSentinel."""
    annotations = {
        names.QUARANTINE_EVENTS: events_json([_with_identity(fault, now) for fault in faults]),
        names.CORDONED_ANNOTATION: names.TRUE,
        names.MANUALLY_UNCORDONED: None,
    }
    labels: dict[str, str | None] = {names.STATE_LABEL: NodeState.QUARANTINED}
    if node.unschedulable:
        annotations[names.CORDON_PRE_EXISTING] = names.TRUE
    else:
        labels |= _cordon_labels(now)
    return _patch(node, annotations, labels, unschedulable=True)


def track_patch(node: NodeView, faults: Sequence[HealthEvent], now: datetime) -> dict[str, Any]:
    """Keep the node quarantined for a changed set of faults; those that remain keep their ids."""
    known = {fault.key: fault for fault in node.tracked}
    tracked = [known.get(fault.key) or _with_identity(fault, now) for fault in faults]
    return _patch(node, {names.QUARANTINE_EVENTS: events_json(tracked)}, {})


def release_patch(node: NodeView, now: datetime) -> dict[str, Any]:
    """Remove everything that we set, and the cordon unless it was there before: all faults are gone."""
    if node.was_cordoned_before:
        return _patch(node, dict.fromkeys(_OURS), {names.STATE_LABEL: None})
    labels = {names.STATE_LABEL: None, **_uncordon_labels(node, now)}
    return _patch(node, dict.fromkeys(_OURS), labels, unschedulable=None)


def cancel_patch(node: NodeView) -> dict[str, Any]:
    """End the quarantine of a node that was uncordoned by hand, and record that."""
    annotations: dict[str, str | None] = {
        **dict.fromkeys(_OURS),
        names.MANUALLY_UNCORDONED: names.TRUE,
    }
    return _patch(node, annotations, {names.STATE_LABEL: None})


def state_patch(node: NodeView, state: NodeState, *, remediation: str | None = None) -> dict[str, Any]:
    """Set the next state label, together with a new remediation record if there is one."""
    annotations: dict[str, str | None] = {}
    if remediation is not None:
        annotations[names.REMEDIATION_STATE] = remediation
    return _patch(node, annotations, {names.STATE_LABEL: state})


def events_json(events: Sequence[HealthEvent]) -> str:
    """The array of events of the annotation, in the protobuf's JSON names."""
    return "[" + ",".join(event.model_dump_json() for event in events) + "]"


_OURS = (
    names.QUARANTINE_EVENTS,
    names.CORDONED_ANNOTATION,
    names.CORDON_PRE_EXISTING,
    names.REMEDIATION_STATE,
)


def _with_identity(fault: HealthEvent, now: datetime) -> HealthEvent:
    """Add an id and time: the condition does not carry them, and the quarantine needs them first."""
    return fault.model_copy(update={"id": secrets.token_hex(12), "generatedTimestamp": now})


def _cordon_labels(now: datetime) -> dict[str, str | None]:
    return {
        names.CORDON_BY: names.SERVICE,
        names.CORDON_REASON: _NOT_IN_LABEL.sub("-", names.RULESET),
        names.CORDON_TIMESTAMP: now.strftime(_LABEL_TIME),
        names.UNCORDON_BY: None,
        names.UNCORDON_REASON: None,
        names.UNCORDON_TIMESTAMP: None,
    }


def _uncordon_labels(node: NodeView, now: datetime) -> dict[str, str | None]:
    reason = node.labels.get(names.CORDON_REASON, "")[:_REASON_LENGTH]
    return {
        names.CORDON_BY: None,
        names.CORDON_REASON: None,
        names.CORDON_TIMESTAMP: None,
        names.UNCORDON_BY: names.SERVICE,
        names.UNCORDON_REASON: f"{reason}-removed",
        names.UNCORDON_TIMESTAMP: now.strftime(_LABEL_TIME),
    }


_KEEP: Any = object()


def _patch(
    node: NodeView,
    annotations: dict[str, str | None],
    labels: dict[str, str | None],
    *,
    unschedulable: bool | None = _KEEP,
) -> dict[str, Any]:
    metadata = {"resourceVersion": node.version, "annotations": annotations, "labels": labels}
    spec = {} if unschedulable is _KEEP else {"spec": {"unschedulable": unschedulable}}
    return {"metadata": {key: value for key, value in metadata.items() if value}, **spec}
