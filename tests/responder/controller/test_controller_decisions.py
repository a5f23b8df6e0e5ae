"""What the controller decides, on plain objects: patches of the node and maintenance resources."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from offbus_sandbox.responder.condition import faults_of, updated_conditions
from offbus_sandbox.responder.controller.node_view import NodeView, is_managed
from offbus_sandbox.responder.controller.quarantine import (
    cancel_patch,
    quarantine_patch,
    release_patch,
    track_patch,
)
from offbus_sandbox.responder.controller.remediation import record_json, remediations
from offbus_sandbox.responder.health_event import HealthEvent
from tests.kits.responder.health_events import UUID, fault

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def node(*faults: HealthEvent, **fields: Any) -> dict[str, Any]:
    conditions: list[dict[str, Any]] = []
    for one in faults:
        conditions = updated_conditions(conditions, one, NOW)
    metadata = {"name": "node-1", "uid": "u-1", "resourceVersion": "5", **fields.pop("metadata", {})}
    return {"kind": "Node", "metadata": metadata, "spec": fields, "status": {"conditions": conditions}}


def patched(before: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """The node after a merge patch of the fields that these patches touch."""
    metadata = dict(before["metadata"])
    for field in ("labels", "annotations"):
        merged = {**(metadata.get(field) or {}), **(patch["metadata"].get(field) or {})}
        metadata[field] = {key: value for key, value in merged.items() if value is not None}
    spec = {key: v for key, v in {**before["spec"], **patch.get("spec", {})}.items() if v is not None}
    return {**before, "metadata": metadata, "spec": spec}


def quarantined(*faults: HealthEvent, **fields: Any) -> dict[str, Any]:
    before = node(*faults, **fields)
    return patched(before, quarantine_patch(NodeView(before), NodeView(before).faults, NOW))


def test_a_quarantined_node_is_cordoned_annotated_and_labelled() -> None:
    after = quarantined(fault("79"))
    annotations, labels = after["metadata"]["annotations"], after["metadata"]["labels"]
    assert after["spec"]["unschedulable"] is True
    assert annotations["quarantineHealthEventIsCordoned"] == "True"
    assert "quarantineHealthEventCordonPreExisting" not in annotations
    (event,) = json.loads(annotations["quarantineHealthEvent"])
    assert event["errorCode"] == ["79"]
    assert event["recommendedAction"] == 24
    assert len(event["id"]) == 24
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
    again = patched(cancelled, quarantine_patch(NodeView(cancelled), NodeView(cancelled).faults, NOW))
    assert "quarantinedNodeUncordonedManually" not in again["metadata"]["annotations"]


def test_a_further_fault_is_tracked_and_the_first_keeps_its_id() -> None:
    held = quarantined(fault("79"))
    worse = {**held, "status": node(fault("79"), fault("48", "COMPONENT_RESET"))["status"]}
    after = NodeView(patched(worse, track_patch(NodeView(worse), faults_of(worse), NOW)))
    assert [event.errorCode for event in after.tracked] == [("79",), ("48",)]
    assert after.tracked[0].id == NodeView(held).tracked[0].id
    assert after.tracked[1].id not in ("", after.tracked[0].id)


@pytest.mark.parametrize(
    ("annotation", "name"),
    [
        pytest.param("{not json", "quarantineHealthEvent", id="broken-events"),
        pytest.param('{"equivalenceGroups": 7}', "latestFaultRemediationState", id="broken-remediations"),
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
    ("faults", "kinds", "mapped"),
    [
        pytest.param([fault("79")], ["RebootNode"], True, id="bare-metal-restart"),
        pytest.param([fault("119", "RESTART_VM")], ["RebootNode"], True, id="vm-restart"),
        pytest.param([fault("119", "COMPONENT_RESET")], ["GPUReset"], True, id="reset"),
        pytest.param(
            [fault("119", "COMPONENT_RESET"), fault("79")], ["RebootNode"], True, id="reboot-covers-reset"
        ),
        pytest.param([fault("74", "CONTACT_SUPPORT")], [], False, id="a-human-must-act"),
        pytest.param(
            [fault("74", "CONTACT_SUPPORT"), fault("79")], ["RebootNode"], False, id="one-is-unmapped"
        ),
        pytest.param(
            [fault("119", "COMPONENT_RESET", UUID), fault("119", "COMPONENT_RESET", UUID[:-1] + "b")],
            ["GPUReset", "GPUReset"],
            True,
            id="two-gpus",
        ),
    ],
)
def test_faults_ask_for_maintenance_resources(
    faults: list[HealthEvent], kinds: list[str], mapped: bool
) -> None:
    held = NodeView(quarantined(*faults))
    wanted, all_mapped = remediations(held)
    assert [one.object["kind"] for one in wanted] == kinds
    assert all_mapped is mapped
    ids = {event.id for event in held.tracked}
    assert all(one.object["metadata"]["name"].removeprefix("maintenance-node-1-") in ids for one in wanted)


def test_a_resource_that_was_made_is_not_asked_for_again() -> None:
    held = quarantined(fault("79"))
    wanted, _ = remediations(NodeView(held))
    record = record_json(NodeView(held), wanted, NOW)
    held["metadata"]["annotations"]["latestFaultRemediationState"] = record
    assert remediations(NodeView(held)) == ([], True)
    group = json.loads(record)["equivalenceGroups"]["restart"]
    assert group["maintenanceCR"] == wanted[0].object["metadata"]["name"]
    assert (group["createdAt"], group["actionName"]) == ("2026-01-02T03:04:05Z", "RESTART_BM")


def test_a_gpu_reset_names_the_gpu_and_belongs_to_its_node() -> None:
    (one,), _ = remediations(NodeView(quarantined(fault("119", "COMPONENT_RESET"))))
    assert one.object["spec"] == {"nodeName": "node-1", "selector": {"uuids": [UUID]}}
    assert one.object["metadata"]["labels"] == {"app.kubernetes.io/managed-by": "nvsentinel"}
    assert one.object["metadata"]["ownerReferences"][0]["uid"] == "u-1"
