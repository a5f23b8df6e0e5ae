"""What the controller decides, on plain objects: patches of the node and maintenance resources."""

import json
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest

from offbus_sandbox.responder.controller.node_view import NodeView, is_managed
from offbus_sandbox.responder.controller.quarantine import (
    cancel_patch,
    quarantine_patch,
    release_patch,
    track_patch,
)
from offbus_sandbox.responder.controller.remediation import record_json, remediation
from offbus_sandbox.responder.datastore import Document
from offbus_sandbox.responder.health_event import Entity, HealthEvent
from tests.kits.responder.health_events import UUID, fault

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def node(**fields: Any) -> dict[str, Any]:
    metadata = {"name": "node-1", "uid": "u-1", "resourceVersion": "5", **fields.pop("metadata", {})}
    return {"kind": "Node", "metadata": metadata, "spec": fields}


def patched(before: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """The node after a merge patch of the fields that these patches touch."""
    metadata = dict(before["metadata"])
    for field in ("labels", "annotations"):
        merged = {**(metadata.get(field) or {}), **(patch["metadata"].get(field) or {})}
        metadata[field] = {key: value for key, value in merged.items() if value is not None}
    spec = {key: v for key, v in {**before["spec"], **patch.get("spec", {})}.items() if v is not None}
    return {**before, "metadata": metadata, "spec": spec}


def stored(event: HealthEvent) -> HealthEvent:
    """With the id that the datastore gives it."""
    return Document.of(event.model_copy(update={"generatedTimestamp": NOW}), NOW).event


def quarantined(event: HealthEvent, *more: HealthEvent, **fields: Any) -> dict[str, Any]:
    before = node(**fields)
    held = patched(before, quarantine_patch(NodeView(before), stored(event), NOW))
    return patched(held, track_patch(NodeView(held), [*NodeView(held).tracked, *map(stored, more)]))


def test_a_quarantined_node_is_cordoned_annotated_and_labelled() -> None:
    after = quarantined(fault("79"))
    annotations, labels = after["metadata"]["annotations"], after["metadata"]["labels"]
    assert after["spec"]["unschedulable"] is True
    assert annotations["quarantineHealthEventIsCordoned"] == "True"
    assert "quarantineHealthEventCordonPreExisting" not in annotations
    (event,) = json.loads(annotations["quarantineHealthEvent"])
    assert event["errorCode"] == ["79"]
    assert event["recommendedAction"] == 24
    assert uuid.UUID(event["id"])
    assert event["generatedTimestamp"] == {"seconds": int(NOW.timestamp()), "nanos": 0}
    assert labels["k8saas.nvidia.com/cordon-by"] == "NVSentinel"
    assert labels["k8saas.nvidia.com/cordon-reason"] == "Syslog-fatal-error-ruleset"
    assert labels["dgxc.nvidia.com/nvsentinel-state"] == "quarantined"


def test_releasing_takes_away_everything_but_the_uncordon_labels() -> None:
    held = quarantined(fault("79"))
    after = patched(held, release_patch(NodeView(held), NOW))
    assert "unschedulable" not in after["spec"]
    assert after["metadata"]["annotations"] == {}
    labels = after["metadata"]["labels"]
    assert labels.pop("k8saas.nvidia.com/uncordon-timestamp")
    assert labels == {
        "k8saas.nvidia.com/uncordon-by": "NVSentinel",
        "k8saas.nvidia.com/uncordon-reason": "Syslog-fatal-error-ruleset-removed",
    }


def test_an_older_cordon_gets_no_cordon_labels_and_stays() -> None:
    held = quarantined(fault("79"), unschedulable=True)
    assert held["metadata"]["annotations"]["quarantineHealthEventCordonPreExisting"] == "True"
    assert held["metadata"]["labels"] == {"dgxc.nvidia.com/nvsentinel-state": "quarantined"}
    after = patched(held, release_patch(NodeView(held), NOW))
    assert after["spec"]["unschedulable"] is True
    assert (after["metadata"]["annotations"], after["metadata"]["labels"]) == ({}, {})


def test_a_manual_uncordon_cancels_and_is_remembered_until_the_next_quarantine() -> None:
    held = quarantined(fault("79"))
    by_hand = patched(held, {"metadata": {}, "spec": {"unschedulable": None}})
    assert NodeView(by_hand).is_uncordoned_by_hand
    cancelled = patched(by_hand, cancel_patch(NodeView(by_hand)))
    assert cancelled["metadata"]["annotations"] == {"quarantinedNodeUncordonedManually": "True"}
    assert "dgxc.nvidia.com/nvsentinel-state" not in cancelled["metadata"]["labels"]
    again = patched(cancelled, quarantine_patch(NodeView(cancelled), stored(fault("79")), NOW))
    assert "quarantinedNodeUncordonedManually" not in again["metadata"]["annotations"]


def test_a_further_fault_is_tracked_and_all_read_back_as_they_were() -> None:
    first, second = stored(fault("79")), stored(fault("48", "COMPONENT_RESET"))
    held = quarantined(first)
    after = NodeView(patched(held, track_patch(NodeView(held), [first, second])))
    assert list(after.tracked) == [first, second]


def healthy(*entities: tuple[str, str], code: str = "") -> HealthEvent:
    return HealthEvent(
        isHealthy=True,
        nodeName="node-1",
        errorCode=(code,) if code else (),
        entitiesImpacted=tuple(Entity(entityType=kind, entityValue=value) for kind, value in entities),
    )


PCI, GPU = ("PCI", "0000:3b:00"), ("GPU_UUID", UUID)


@pytest.mark.parametrize(
    ("clear", "remaining"),
    [
        pytest.param(healthy(), 0, id="the-whole-check"),
        pytest.param(healthy(PCI, GPU), 0, id="every-entity"),
        pytest.param(healthy(PCI), 1, id="one-of-two"),
        pytest.param(healthy(PCI, ("GPU_UUID", "GPU-other")), 1, id="another-gpu"),
        pytest.param(healthy(("PCI", "0000:3B:00"), GPU), 1, id="another-spelling"),
        pytest.param(healthy(PCI, GPU, code="79"), 0, id="its-code"),
        pytest.param(healthy(PCI, GPU, code="163"), 2, id="another-code"),
    ],
)
def test_a_healthy_event_ends_the_entities_that_it_names(clear: HealthEvent, remaining: int) -> None:
    assert len(fault("79").left_by(clear)) == remaining


@pytest.mark.parametrize(
    ("annotation", "name"),
    [
        pytest.param("{not json", "quarantineHealthEvent", id="broken-events"),
        pytest.param('{"equivalenceGroups": 7}', "latestFaultRemediationState", id="broken-remediations"),
        pytest.param("[" * 100_000, "latestFaultRemediationState", id="deep-remediations"),
        pytest.param("[" * 100_000, "quarantineHealthEvent", id="deep-events"),
    ],
)
def test_broken_annotations_are_empty(annotation: str, name: str) -> None:
    view = NodeView(node(metadata={"annotations": {name: annotation}}))
    assert (list(view.tracked), dict(view.remediations)) == ([], {})


@pytest.mark.parametrize(
    ("labels", "managed"),
    [
        pytest.param({"nvidia.com/gpu.present": "true"}, True, id="gpu-node"),
        pytest.param({}, False, id="no-gpu"),
        pytest.param(
            {"nvidia.com/gpu.present": "true", "nvsentinel.dgxc.nvidia.com/managed": "false"},
            False,
            id="opted-out",
        ),
        pytest.param(
            {"nvidia.com/gpu.present": "true", "k8saas.nvidia.com/ManagedByNVSentinel": "false"},
            False,
            id="old-label",
        ),
    ],
)
def test_only_gpu_nodes_that_did_not_opt_out_are_managed(labels: dict[str, str], managed: bool) -> None:
    assert is_managed(node(metadata={"labels": labels})) is managed


@pytest.mark.parametrize(
    ("action", "reset_by", "kind"),
    [
        pytest.param("RESTART_BM", "RebootNode", "RebootNode", id="bare-metal-restart"),
        pytest.param("RESTART_VM", "RebootNode", "RebootNode", id="vm-restart"),
        pytest.param("COMPONENT_RESET", "RebootNode", "RebootNode", id="a-reset-is-a-reboot-by-default"),
        pytest.param("COMPONENT_RESET", "GPUReset", "GPUReset", id="reset"),
        pytest.param("CONTACT_SUPPORT", "RebootNode", None, id="a-human-must-act"),
    ],
)
def test_an_action_asks_for_a_maintenance_resource(action: str, reset_by: str, kind: str | None) -> None:
    event = stored(fault("119", action))
    wanted = remediation(NodeView(quarantined(event)), event, reset_by)
    assert (wanted and wanted.object["kind"]) == kind
    if wanted:
        assert wanted.object["metadata"]["name"] == f"maintenance-node-1-{event.id}"


def test_what_was_asked_for_is_recorded_beside_what_was_there() -> None:
    held = quarantined(fault("79"))
    first, second = stored(fault("119", "COMPONENT_RESET")), stored(fault("79"))
    view = NodeView(held)
    one, two = remediation(view, first, "GPUReset"), remediation(view, second, "GPUReset")
    assert one
    assert two
    held["metadata"]["annotations"]["latestFaultRemediationState"] = record_json(view, one, NOW)
    groups = json.loads(record_json(NodeView(held), two, NOW))["equivalenceGroups"]
    assert set(groups) == {f"reset-{UUID}", "restart"}
    assert groups["restart"] == {
        "maintenanceCR": f"maintenance-node-1-{second.id}",
        "createdAt": "2026-01-02T03:04:05Z",
        "actionName": "RESTART_BM",
    }


def test_a_gpu_reset_names_the_gpu_and_belongs_to_its_node() -> None:
    event = stored(fault("119", "COMPONENT_RESET"))
    one = remediation(NodeView(quarantined(event)), event, "GPUReset")
    assert one
    assert one.object["spec"] == {"nodeName": "node-1", "selector": {"uuids": [UUID]}}
    assert one.object["metadata"]["labels"] == {"app.kubernetes.io/managed-by": "nvsentinel"}
    assert one.object["metadata"]["ownerReferences"][0]["uid"] == "u-1"
