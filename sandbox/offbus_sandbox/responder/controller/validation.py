"""Validation after a repair: what fault-quarantine asks for, and what the lifecycle-manager does about it.

As in NVSentinel (docs/designs/049-node-validation.md, fault-quarantine/pkg/validation, lifecycle-manager/internal/
controller; read, not run). fault-quarantine notes each event that asks for tests beside the quarantine; at its end,
when one of these events was drained, it makes a ValidationRequest for the node and leaves the cordon to it. The
lifecycle-manager adds the request to the node's session, waits until the node is in no quarantine, and runs the tests;
here that takes `validation_delay_s`, and nothing is tested. When it succeeds, or is deleted, the request leaves the
session, and with the last one the node is uncordoned; when it fails the node stays cordoned until it is deleted.
"""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from offbus_sandbox.responder.condition import kube_time
from offbus_sandbox.responder.config import ResponderConfig
from offbus_sandbox.responder.controller.node_view import NodeView
from offbus_sandbox.responder.controller.part import NOW, Part
from offbus_sandbox.responder.controller.quarantine import uncordon_labels
from offbus_sandbox.responder.datastore import DRAINED, Document
from offbus_sandbox.responder.health_event import HealthEvent, annotation_event
from offbus_steps.kinds import KINDS
from offbus_steps.nvsentinel import names
from offbus_steps.port import Conflict, NotFound, Object, Objects, Ref

__all__ = ["Validator", "nodes_of", "noted", "request_validation"]

_REASON = "ValidationSucceeded"
_PENDING, _RUNNING = "Pending", "Running"
_NOTED = 10
"""How many events the annotation holds (maxQuarantineValidationHealthEvents)."""
_log = logging.getLogger(__name__)


def noted(node: NodeView, event: HealthEvent, config: ResponderConfig) -> dict[str, str | None]:
    """The annotation with an event that asks for tests; nothing when it does not."""
    if not config.validation.enabled or event.recommendedAction.name not in config.validation.actions:
        return {}
    tests = {"tests": list(config.validation.tests)}
    events = [*_entries(node, names.VALIDATION_EVENTS), {**annotation_event(event), **tests}]
    return {names.VALIDATION_EVENTS: json.dumps(events[-_NOTED:], separators=(",", ":"))}


async def request_validation(objects: Objects, node: NodeView, documents: Sequence[Document]) -> bool:
    """Ask for the tests of a quarantine that ends; whether somebody else uncordons the node therefore."""
    asking = _entries(node, names.VALIDATION_EVENTS)
    ids = sorted(str(one.get("id", "")) for one in asking)
    drained = {one.event.id for one in documents if one.userpodsevictionstatus in DRAINED}
    if not drained & set(ids) or node.was_cordoned_before:
        return False
    session = hashlib.sha256(",".join(ids).encode()).hexdigest()[:12]
    key, value = names.MANAGED_BY
    owner = {"apiVersion": "v1", "kind": "Node", "name": node.name, "uid": node.object["metadata"]["uid"]}
    made: Object = {
        "apiVersion": KINDS[names.VALIDATION_KIND].api_version,
        "kind": names.VALIDATION_KIND,
        "metadata": {
            "name": f"{node.name}-validation-{session}",
            "labels": {key: value},
            "ownerReferences": [owner],
        },
        "spec": {
            "nodes": [{"name": node.name}],
            "tests": sorted({str(test) for one in asking for test in one.get("tests") or ()}),
        },
    }
    try:
        await objects.create(made)
    except Conflict:
        _log.info("%s already exists", Ref.of(made))
    return True


def nodes_of(request: Mapping[str, Any]) -> list[str]:
    """The nodes that a request names."""
    return [str(one.get("name", "")) for one in (request.get("spec") or {}).get("nodes") or ()]


class Validator(Part):
    """The lifecycle-manager: carries out requests that name one node. A request for several is left alone."""

    async def look(self, node: NodeView, documents: Sequence[Document]) -> float | None:
        """Take the node's next step; seconds until it wants to be asked again, None for "when something changes"."""
        if not self.config.validation.enabled:
            return None
        try:
            requests = (await self.objects.list(names.VALIDATION_KIND)).items
        except NotFound:
            _log.warning("the cluster does not serve %s", names.VALIDATION_KIND)
            return None
        for request in requests:
            if nodes_of(request) == [node.name]:
                wait = await self._step(node, {**request, "kind": names.VALIDATION_KIND})
                if wait is not None:
                    return wait
        return None

    async def _step(self, node: NodeView, request: Object) -> float | None:
        meta, phase = request["metadata"], (request.get("status") or {}).get("phase", "")
        ref, name = Ref.of(request), str(meta["name"])
        if meta.get("deletionTimestamp"):
            if names.VALIDATION_FINALIZER not in (meta.get("finalizers") or ()):
                return None
            await self.objects.patch(node.ref, self._released(node, name))
            await self.objects.patch(ref, _versioned(request, {"finalizers": _others(meta)}))
            return NOW
        if not phase:
            finalizers = [*_others(meta), names.VALIDATION_FINALIZER]
            made = await self.objects.patch(ref, _versioned(request, {"finalizers": finalizers}))
            started = {"phase": _PENDING, "startTime": kube_time(self.utc())}
            await self.objects.patch(ref, _versioned(made, {}, started), status=True)
            return NOW
        session = _entries(node, names.VALIDATION_SESSION)
        if phase == _PENDING and not any(one.get("name") == name for one in session):
            entry = {"name": name, "tests": request["spec"].get("tests") or []}
            await self.objects.patch(node.ref, _marked(node, [*session, entry], _active(node)))
            return NOW
        if phase == _PENDING and names.QUARANTINE_EVENTS not in node.annotations:
            if _active(node) not in ("", name):
                return None
            await self.objects.patch(node.ref, _marked(node, session, name))
            await self.objects.patch(ref, _versioned(request, {}, {"phase": _RUNNING}), status=True)
            return NOW
        if phase != _RUNNING:
            return None
        key = f"{node.name}/validation"
        if remaining := self.due.remaining(key, name, self.config.validation_delay_s):
            return remaining
        result = self.config.validation.result
        if result == "Succeeded":
            patch = self._released(node, name)
        else:
            failed = [{**one, "failed": True} if one.get("name") == name else one for one in session]
            patch = _marked(node, failed, "")
        await self.objects.patch(node.ref, patch)
        ended = {"phase": result, "completionTime": kube_time(self.utc())}
        await self.objects.patch(ref, _versioned(request, {}, ended), status=True)
        _log.info("%s %s (simulated)", ref, result)
        return NOW

    def _released(self, node: NodeView, name: str) -> dict[str, Any]:
        """The node without a request in its session; with the last one, its cordon goes, too."""
        session = _entries(node, names.VALIDATION_SESSION)
        remaining = [one for one in session if one.get("name") != name]
        patch = _marked(node, remaining, "" if _active(node) == name else _active(node))
        if session and not remaining and node.unschedulable:
            patch["metadata"]["labels"] |= uncordon_labels(self.utc(), _REASON)
            patch["spec"] = {"unschedulable": None}
        return patch


def _entries(node: NodeView, annotation: str) -> list[dict[str, Any]]:
    try:
        found = json.loads(node.annotations.get(annotation, "[]"))
    except (ValueError, RecursionError):
        _log.error("%s: annotation %s cannot be read: taken as empty", node.ref, annotation)
        return []
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _active(node: NodeView) -> str:
    return node.annotations.get(names.ACTIVE_VALIDATION, "")


def _marked(node: NodeView, session: Sequence[Mapping[str, Any]], active: str) -> dict[str, Any]:
    """The node with this session, and the label that follows from it (deriveValidationStateLabel)."""
    state = None
    if session:
        waiting = any(not one.get("failed") for one in session)
        state = "validating" if active else "validation-pending" if waiting else "validation-failed"
    annotations = {
        names.VALIDATION_SESSION: json.dumps(list(session), separators=(",", ":")) if session else None,
        names.ACTIVE_VALIDATION: active or None,
    }
    labels: dict[str, str | None] = {names.VALIDATION_STATE: state}
    return {"metadata": {"resourceVersion": node.version, "annotations": annotations, "labels": labels}}


def _others(meta: Mapping[str, Any]) -> list[str]:
    return [one for one in meta.get("finalizers") or () if one != names.VALIDATION_FINALIZER]


def _versioned(
    obj: Mapping[str, Any], metadata: Mapping[str, Any], status: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    found = {"metadata": {"resourceVersion": obj["metadata"]["resourceVersion"], **metadata}}
    return {**found, "status": dict(status)} if status else found
