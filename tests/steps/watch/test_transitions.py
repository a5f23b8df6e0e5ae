"""What the timeline says of changes, from Kubernetes' own shapes."""

from typing import Any

import pytest

from offbus_steps.inference.process_exit import _ends
from offbus_steps.port import Ref
from offbus_steps.watch.event_log import Transition
from offbus_steps.watch.projections import project
from offbus_steps.watch.transitions import What, changes

STATE = "dgxc.nvidia.com/nvsentinel-state"


def node(
    *, cordoned: bool = False, state: str = "", by: str = "", **conditions: tuple[str, str]
) -> dict[str, Any]:
    labels = ({STATE: state} if state else {}) | ({"k8saas.nvidia.com/cordon-by": by} if by else {})
    listed = [{"type": kind, "status": s, "reason": r} for kind, (s, r) in conditions.items()]
    return {
        "kind": "Node",
        "metadata": {"name": "n1", "uid": "u", "labels": {**labels, "zone": "a"}},
        "spec": {"unschedulable": True} if cordoned else {},
        "status": {"conditions": listed},
    }


def pod(*, ready: bool = False, restarts: int = 0, on: str = "n1", **state: Any) -> dict[str, Any]:
    status: dict[str, Any] = {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        "containerStatuses": [{"name": "main", "restartCount": restarts, **state}],
    }
    meta = {"name": "p", "namespace": "d", "uid": "u"}
    return {"kind": "Pod", "metadata": meta, "spec": {"nodeName": on, "containers": []}, "status": status}


RUNNING = {"state": {"running": {}}}
KILLED = {"state": {"terminated": {"exitCode": 137, "signal": 9, "reason": "Error"}}}
RESTARTED = {"state": {"running": {}}, "lastState": KILLED["state"]}


@pytest.mark.parametrize(
    ("was", "now", "expected"),
    [
        (node(), node(cordoned=True), ["cordoned"]),
        (node(cordoned=True), node(), ["uncordoned"]),
        (node(), node(state="quarantined"), ["state quarantined"]),
        (node(state="draining"), node(), ["state none"]),
        (node(), node(Xid=("True", "XidIsNotHealthy")), ["Xid True"]),
        (
            node(),
            node(cordoned=True, state="quarantined", Xid=("True", "XidIsNotHealthy")),
            ["Xid True", "cordoned", "state quarantined"],
        ),
        (node(Xid=("True", "XidIsNotHealthy")), node(), ["Xid removed"]),
        (pod(on=""), pod(on="n2"), ["scheduled on n2"]),
        (pod(**RUNNING), pod(ready=True, **RUNNING), ["ready"]),
        (pod(ready=True, **RUNNING), pod(**KILLED), ["ended by signal 9", "not ready"]),
        (pod(**KILLED), pod(restarts=1, **RESTARTED), ["restarted (1)"]),
        (pod(**RUNNING), pod(restarts=1, **RESTARTED), ["ended by signal 9", "restarted (1)"]),
        (pod(restarts=1, **RESTARTED), pod(restarts=2, **RESTARTED), ["ended by signal 9", "restarted (2)"]),
    ],
    ids=[
        "cordon",
        "uncordon",
        "state",
        "state removed",
        "condition",
        "cause before consequence",
        "condition removed",
        "scheduled",
        "ready",
        "killed",
        "restarted",
        "end and restart in one update",
        "a second crash with the same code",
    ],
)
def test_a_change_is_told_in_order(was: dict[str, Any], now: dict[str, Any], expected: list[str]) -> None:
    assert [one.to for one in changes(project(was), project(now))] == expected


def test_a_cordon_says_whether_it_is_the_responders() -> None:
    for by, ours in (("NVSentinel", True), ("", False)):
        (change,) = changes(project(node()), project(node(cordoned=True, by=by)))
        assert change.evidence["by_responder"] is ours


def test_what_drills_do_not_care_about_is_no_change() -> None:
    later = node()
    later["metadata"]["labels"]["zone"] = "b"
    later["status"]["conditions"] = []
    assert project(later) == project(node())


def test_a_deleted_pod_is_told_and_a_node_seen_first_is_not() -> None:
    assert [one.what for one in changes(project(pod()), None)] == [What.POD_DELETED]
    assert changes(None, project(node(cordoned=True))) == []


def report(count: int = 1, **more: Any) -> dict[str, Any]:
    about = {"kind": "Node", "name": "n1"}
    made = {"type": "SysLogsXIDError", "reason": "SysLogsXIDErrorIsNotHealthy", "message": "ErrorCode:94"}
    meta = {"name": "n1.1", "namespace": "default"}
    return {"kind": "Event", "metadata": meta, "involvedObject": about, **made, "count": count, **more}


def maintenance(status: str = "", *, by: str = "nvsentinel") -> dict[str, Any]:
    meta = {"name": "maintenance-n1-1", "labels": {"app.kubernetes.io/managed-by": by}}
    conditions = [{"type": "NodeReady", "status": status}] if status else []
    status_part = {"conditions": [{"type": "SignalSent", "status": "True"}, *conditions]}
    return {"kind": "RebootNode", "metadata": meta, "spec": {"nodeName": "n1"}, "status": status_part}


@pytest.mark.parametrize(
    ("was", "now", "told"),
    [
        (None, report(), ["event SysLogsXIDError"]),
        (report(), report(2), ["event SysLogsXIDError"]),
        (report(), report(message="ErrorCode:94 again"), []),
        (None, maintenance(), ["asked for"]),
        (None, maintenance("True"), ["asked for", "completed"]),
        (maintenance(), maintenance("Unknown"), []),
        (maintenance(), maintenance("True"), ["completed"]),
        (maintenance(), maintenance("False"), ["failed"]),
        (maintenance("True"), None, ["removed"]),
    ],
    ids=[
        "event",
        "event again",
        "other words",
        "asked",
        "asked and done",
        "not known yet",
        "done",
        "failed",
        "removed",
    ],
)
def test_what_a_responder_says_elsewhere_than_on_the_node(
    was: dict[str, Any] | None, now: dict[str, Any] | None, told: list[str]
) -> None:
    found = changes(*(None if one is None else project(one) for one in (was, now)))
    assert [one.to for one in found] == told
    assert {one.evidence["node"] for one in found} <= {"n1"}


@pytest.mark.parametrize(
    "obj",
    [
        report(type="Normal", reason="NodeReady"),
        report(involvedObject={"kind": "Pod", "name": "n1"}),
        maintenance(by="somebody"),
    ],
    ids=["not a fault", "of a pod", "not the responder's"],
)
def test_what_others_say_is_not_looked_at(obj: dict[str, Any]) -> None:
    assert project(obj) is None


def test_the_end_of_a_container_says_whether_it_held_gpus() -> None:
    def seen(restarts: int) -> Any:
        both = [{"name": name, "restartCount": restarts, **RESTARTED} for name in ("proxy", "engine")]
        obj = pod()
        obj["spec"]["containers"] = [
            {"name": "proxy"},
            {"name": "engine", "resources": {"limits": {"nvidia.com/gpu": "1"}}},
        ]
        obj["status"]["containerStatuses"] = both
        return project(obj)

    ended = [one for one in changes(seen(0), seen(1)) if one.what is What.POD_RESTARTED]
    assert [(one.evidence["container"], one.evidence["holds_gpus"]) for one in ended] == [
        ("proxy", False),
        ("engine", True),
    ]
    refs = Ref("Pod", "p", "d")
    ends = [_ends(refs, Transition(0, refs, one, 0, 0)) for one in ended]
    assert ends == [False, True]


@pytest.mark.parametrize(
    ("was", "now", "tones"),
    [
        (node(), node(cordoned=True), ["caution"]),
        (node(cordoned=True), node(), ["good"]),
        (node(), node(state="draining"), ["caution"]),
        (node(), node(state="drain-failed"), ["bad"]),
        (node(state="draining"), node(), ["dim"]),
        (node(), node(Xid=("True", "XidIsNotHealthy")), ["caution"]),
        (node(Xid=("True", "XidIsNotHealthy")), node(Xid=("False", "XidIsHealthy")), ["dim"]),
        (node(Xid=("True", "XidIsNotHealthy")), node(), ["dim"]),
        (node(Ready=("True", "")), node(Ready=("Unknown", "")), ["bad"]),
        (node(Ready=("False", "")), node(Ready=("True", "")), ["good"]),
        (pod(on=""), pod(on="n2"), [None]),
        (pod(**RUNNING), pod(ready=True, **RUNNING), ["good"]),
        (pod(ready=True, **RUNNING), pod(**KILLED), ["bad", "caution"]),
        (pod(), None, ["dim"]),
    ],
)
def test_each_change_says_what_it_means(was: Any, now: Any, tones: list[str | None]) -> None:
    found = changes(project(was) if was else None, project(now) if now else None)
    assert [one.tone for one in found] == tones


def test_a_change_has_the_clusters_reason_in_brief() -> None:
    [condition] = changes(project(node()), project(node(Xid=("True", "XidIsNotHealthy"))))
    [cordon] = changes(project(node()), project(node(cordoned=True)))
    assert (condition.brief, cordon.brief) == ("XidIsNotHealthy", "")
