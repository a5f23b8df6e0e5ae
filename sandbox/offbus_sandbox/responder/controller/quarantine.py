"""Cordon and uncordon: the node's fields that mark it as quarantined. Pure functions that build merge patches.

As in NVSentinel's fault-quarantine. A node that is already cordoned keeps its cordon, gets no cordon labels, and is not
uncordoned at the end; in releases that do not know that, it is treated as any other (`keep_earlier`). Every patch
carries the resource version that it is based on. Must not: evict, or wait.
"""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from offbus_sandbox.responder.controller.node_view import NodeView
from offbus_sandbox.responder.health_event import HealthEvent, annotation_event
from offbus_steps.nvsentinel import names
from offbus_steps.nvsentinel.names import NodeState

__all__ = [
    "cancel_patch",
    "events_json",
    "hand_over_patch",
    "quarantine_patch",
    "release_patch",
    "state_patch",
    "track_patch",
    "uncordon_labels",
]

_REASON_LENGTH = 55
"""NVSentinel cuts the reason so that "-removed" still fits into a label value of 63 characters."""
_NOT_IN_LABEL = re.compile(r"[^a-zA-Z0-9_.-]")
_KEEP: Any = object()
"""A field that a patch leaves as it is."""


def quarantine_patch(
    node: NodeView,
    event: HealthEvent,
    now: datetime,
    *,
    cordon: bool = True,
    keep_earlier: bool = True,
    also: Mapping[str, str | None] | None = None,
) -> dict[str, Any]:
    """Mark the node as quarantined for an event, and cordon it; `also`: further annotations."""
    annotations: dict[str, str | None] = {
        names.QUARANTINE_EVENTS: events_json([event]),
        names.CORDONED_ANNOTATION: names.TRUE,
        names.MANUALLY_UNCORDONED: None,
        **(also or {}),
    }
    labels: dict[str, str | None] = {names.STATE_LABEL: NodeState.QUARANTINED}
    if node.unschedulable and keep_earlier:
        annotations[names.CORDON_PRE_EXISTING] = names.TRUE
    else:
        labels |= _cordon_labels(now)
    return _patch(node, annotations, labels, unschedulable=True if cordon else _KEEP)


def track_patch(
    node: NodeView, events: Sequence[HealthEvent], also: Mapping[str, str | None] | None = None
) -> dict[str, Any]:
    """Keep the node quarantined for these events; `also`: further annotations."""
    return _patch(node, {names.QUARANTINE_EVENTS: events_json(events), **(also or {})}, {})


def hand_over_patch(node: NodeView) -> dict[str, Any]:
    """Remove everything that we set except the cordon, which somebody else removes after a validation."""
    labels = dict.fromkeys((names.STATE_LABEL, *_CORDON_LABELS))
    return _patch(node, dict.fromkeys(_OURS), labels)


def release_patch(node: NodeView, now: datetime) -> dict[str, Any]:
    """Remove everything that we set, and the cordon unless it was there before: all faults are gone."""
    if node.was_cordoned_before:
        return _patch(node, dict.fromkeys(_OURS), {names.STATE_LABEL: None})
    reason = f"{node.labels.get(names.CORDON_REASON, '')[:_REASON_LENGTH]}-removed"
    labels = {names.STATE_LABEL: None, **uncordon_labels(now, reason)}
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
    """The array of events of the annotation."""
    return json.dumps([annotation_event(event) for event in events], separators=(",", ":"))


_OURS = (
    names.QUARANTINE_EVENTS,
    names.CORDONED_ANNOTATION,
    names.CORDON_PRE_EXISTING,
    names.REMEDIATION_STATE,
    names.VALIDATION_EVENTS,
)
_CORDON_LABELS = (names.CORDON_BY, names.CORDON_REASON, names.CORDON_TIMESTAMP)


def _cordon_labels(now: datetime) -> dict[str, str | None]:
    return {
        names.CORDON_BY: names.SERVICE,
        names.CORDON_REASON: _NOT_IN_LABEL.sub("-", names.RULESET),
        names.CORDON_TIMESTAMP: now.strftime(names.LABEL_TIME),
        names.UNCORDON_BY: None,
        names.UNCORDON_REASON: None,
        names.UNCORDON_TIMESTAMP: None,
    }


def uncordon_labels(now: datetime, reason: str) -> dict[str, str | None]:
    """The labels of a node that was uncordoned, instead of those of its cordon."""
    return {
        **dict.fromkeys(_CORDON_LABELS),
        names.UNCORDON_BY: names.SERVICE,
        names.UNCORDON_REASON: reason,
        names.UNCORDON_TIMESTAMP: now.strftime(names.LABEL_TIME),
    }


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
