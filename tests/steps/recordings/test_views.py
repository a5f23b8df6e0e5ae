"""What a recording says of an object: enough to know what a responder did, and nothing that names anybody."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offbus_steps.nvsentinel import names
from offbus_steps.port import Object, Ref
from offbus_steps.recordings.format import Change, encoded
from offbus_steps.recordings.views import View, Views

SECRET = "s3cr3t-Acme"


def views(**settings: Any) -> Views:
    known: dict[Ref, View] = {}
    return Views(known.get, **settings)


def node(**more: Any) -> Object:
    """A node of Acme's, quarantined, with everything that must not be told."""
    event = {
        "checkName": "SysLogsXIDError",
        "errorCode": ["79"],
        "entitiesImpacted": [
            {"entityType": "PCI", "entityValue": "0000:3b:00"},
            {"entityType": "GPU_UUID", "entityValue": f"GPU-{SECRET}"},
        ],
        "message": SECRET,
        "recommendedAction": 24,
        "nodeName": SECRET,
        "id": SECRET,
    }
    condition = {
        "type": "SysLogsXIDError",
        "status": "True",
        "reason": "SysLogsXIDErrorIsNotHealthy",
        "message": f"ErrorCode:79 PCI:0000:3b:00 GPU_UUID:GPU-{SECRET} {SECRET} Recommended Action=RESTART_BM;",
    }
    return {
        "kind": "Node",
        "metadata": {
            "name": SECRET,
            "labels": {
                "team": SECRET,
                f"{SECRET}/x": "1",
                names.STATE_LABEL: "draining",
                names.CORDON_BY: "NVSentinel",
                names.CORDON_REASON: SECRET,
                names.UNCORDON_BY: SECRET,
            },
            "annotations": {
                "token": SECRET,
                names.QUARANTINE_EVENTS: json.dumps([event]),
                names.CORDONED_ANNOTATION: "True",
                names.REMEDIATION_STATE: SECRET,
            },
        },
        "spec": {
            "unschedulable": True,
            "providerID": SECRET,
            "taints": [
                {"key": f"{SECRET}.example/x", "value": SECRET, "effect": "NoSchedule"},
                {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"},
            ],
        },
        "status": {
            "conditions": [
                condition,
                {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": SECRET},
                {"type": f"{SECRET}.example/Up", "status": "True", "reason": SECRET},
            ],
            "addresses": [{"address": SECRET}],
            "images": [{"names": [SECRET]}],
        },
        **more,
    }


def test_a_node_is_told_by_what_a_responder_changes() -> None:
    found = views().view(node())
    assert found is not None
    assert (found.subject, found.node) == ("Node/node-1", "node-1")
    finding = "SysLogsXIDError 79 PCI:0000:3b:00 GPU_UUID:gpu-1 action=RESTART_BM"
    assert found.fields == {
        "exists": True,
        "cordoned": True,
        "taint taint-1:NoSchedule": True,
        "taint node.kubernetes.io/unschedulable:NoSchedule": True,
        "condition SysLogsXIDError": "True SysLogsXIDErrorIsNotHealthy",
        "findings SysLogsXIDError": finding,
        "condition Ready": "True KubeletReady",
        "condition condition-1": "True (left out)",
        f"label {names.STATE_LABEL}": "draining",
        f"label {names.CORDON_BY}": "NVSentinel",
        f"label {names.CORDON_REASON}": "(left out)",
        f"label {names.UNCORDON_BY}": "(left out)",
        f"annotation {names.QUARANTINE_EVENTS}": finding,
        f"annotation {names.CORDONED_ANNOTATION}": "True",
        f"annotation {names.REMEDIATION_STATE}": "(left out)",
    }


def test_the_same_thing_has_the_same_pseudonym_and_names_are_told_only_when_asked() -> None:
    made, other = views(), {**node(), "metadata": {"name": "other"}}
    assert [made.view(one).node for one in (node(), other, node())] == ["node-1", "node-2", "node-1"]  # type: ignore[union-attr]
    named = views(names=True).view(node())
    assert named is not None
    assert (named.subject, named.node) == (f"Node/{SECRET}", SECRET)


def test_only_the_nodes_that_are_wanted_are_told_and_their_pods() -> None:
    made = views(nodes=frozenset({"other"}))
    assert made.view(node()) is None
    assert made.view(pod()) is None
    assert made.view(reboot()) is None


def pod(**status: Any) -> Object:
    meta = {"name": SECRET, "namespace": SECRET, "labels": {"app": SECRET}, "annotations": {"a": SECRET}}
    container = {"name": SECRET, "image": SECRET, "env": [{"name": "TOKEN", "value": SECRET}]}
    return {
        "kind": "Pod",
        "metadata": meta,
        "spec": {"nodeName": SECRET, "containers": [container]},
        "status": status,
    }


def reboot() -> Object:
    meta = {"name": f"maintenance-{SECRET}", "labels": dict([names.MANAGED_BY])}
    conditions = [{"type": "NodeReady", "status": "True", "reason": "Succeeded", "message": SECRET}]
    return {
        "kind": "RebootNode",
        "metadata": meta,
        "spec": {"nodeName": SECRET},
        "status": {"conditions": conditions, "startTime": SECRET},
    }


def test_a_pod_is_told_when_it_goes() -> None:
    made = views()
    assert made.view({**pod(), "spec": {}}) is None, "it is on no node"
    there = made.view(pod(phase="Running"))
    assert there is not None
    assert (there.subject, there.node, there.fields) == ("Pod/pod-1", "node-1", {"exists": True})
    evicted = {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "EvictionByEvictionAPI",
        "message": SECRET,
    }
    going = pod(phase="Failed", conditions=[evicted])
    going["metadata"]["deletionTimestamp"] = "now"
    told = made.view(going)
    assert told is not None
    assert told.fields == {
        "exists": True,
        "evicted": "EvictionByEvictionAPI",
        "terminating": True,
        "phase": "Failed",
    }
    made.forget(told)
    again = made.view(pod())
    assert again is not None
    assert again.subject == "Pod/pod-2", "another pod of that name"


def test_a_resource_is_told_with_its_node_and_its_results() -> None:
    made = views()
    assert made.view(node()) is not None
    found = made.view(reboot())
    assert found is not None
    assert (found.subject, found.node) == ("RebootNode/rebootnode-1", "node-1")
    assert found.fields == {"exists": "nvsentinel", "condition NodeReady": "True Succeeded"}
    others = made.view({"kind": "GPUReset", "metadata": {"name": "x"}, "spec": {"nodeName": SECRET}})
    assert others is not None
    assert others.fields == {"exists": "others"}
    validation = {
        "kind": "ValidationRequest",
        "metadata": {"name": SECRET},
        "spec": {"nodes": [{"name": SECRET}]},
        "status": {"phase": "Succeeded"},
    }
    asked = made.view(validation)
    assert asked is not None
    assert (asked.node, asked.fields) == ("node-1", {"exists": "nvsentinel", "phase": "Succeeded"})


def event(kind: str, **more: Any) -> Object:
    about = {"kind": kind, "name": SECRET, **({"namespace": SECRET} if kind == "Pod" else {})}
    meta = {"name": SECRET, "namespace": SECRET}
    return {"kind": "Event", "metadata": meta, "involvedObject": about, "message": SECRET, **more}


def test_an_event_is_told_of_what_is_known() -> None:
    known: dict[Ref, View] = {}
    made = Views(known.get)
    assert made.view(event("Node", reason="NodeNotReady", type="Warning")) is None
    for one in (node(), pod()):
        found = made.view(one)
        assert found is not None
        known[found.ref] = found
    told = made.view(event("Pod", reason="Killing", type="Normal", count=2, source={"component": SECRET}))
    assert told is not None
    assert (told.subject, told.node, told.fields) == (
        "Pod/pod-1",
        "node-1",
        {"event Killing": "Normal, 2 times"},
    )
    reason = "SysLogsXIDErrorIsNotHealthy"
    report = made.view(event("Node", reason=reason, type="SysLogsXIDError"))
    assert report is not None
    assert report.fields.keys() == {f"event {reason}", f"findings {reason}"}
    assert made.view(event("Secret", reason="x", type="y")) is None


TEXT = st.text(max_size=40)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=10,
)


@given(
    kind=st.sampled_from(["RebootNode", "GPUReset", "TerminateNode", "ValidationRequest"]),
    spec=JSON | st.dictionaries(st.sampled_from(["nodeName", "nodes"]), JSON),
    status=JSON | st.dictionaries(st.sampled_from(["conditions", "phase"]), JSON),
)
def test_a_resource_of_any_shape_is_told_or_not(kind: str, spec: Any, status: Any) -> None:
    found = views().view({"kind": kind, "metadata": {"name": "x"}, "spec": spec, "status": status})
    assert found is None or all(isinstance(one, str) for one in found.fields.values())


@given(text=TEXT, annotation=TEXT, key=TEXT)
def test_whatever_others_write_a_line_is_bounded_and_clean(text: str, annotation: str, key: str) -> None:
    hostile = node()
    hostile["metadata"]["annotations"] = {names.QUARANTINE_EVENTS: annotation, f"quarantinedNode{key}": text}
    hostile["metadata"]["labels"] = {names.STATE_LABEL: text}
    hostile["status"]["conditions"] = [
        {"type": text, "status": text, "reason": text},
        {"type": "A", "status": "True", "reason": "AIsNotHealthy", "message": (text + ";") * 100},
    ]
    found = views().view(hostile)
    assert found is not None
    for name, value in found.fields.items():
        line = encoded(Change(at=0, subject=found.subject, node=found.node, field=name, was=None, to=value))
        assert len(line) < 10_000
        assert json.loads(line)["field"].isprintable()
        assert not isinstance(value, str) or value.isprintable()


@pytest.mark.parametrize(
    "one", [node(), pod(phase="Failed", reason=SECRET), reboot()], ids=lambda one: one["kind"]
)
def test_no_secret_is_in_what_is_told(one: Object) -> None:
    made = views()
    assert made.view(node()) is not None
    found = made.view(one)
    assert found is not None
    assert SECRET not in repr((found.subject, found.node, found.fields))
