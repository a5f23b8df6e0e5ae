"""Whose doing a difference in the fingerprint can be; and that no foreign value gets into one."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offbus_steps.agents.fault_model import Fault
from offbus_steps.inject.undo_disarm import DisarmFault
from offbus_steps.nvsentinel import names
from offbus_steps.nvsentinel.cause import Cause
from offbus_steps.nvsentinel.findings import Finding
from offbus_steps.residue.external_changes import (
    OURS,
    REST,
    NodeFault,
    external_change,
)
from offbus_steps.residue.others_objects import Touched
from offbus_steps.residue.shown_values import shown_annotations, split_spec
from offbus_steps.watch.node_history import Seen
from tests.kits.steps.responder_marks import event

NODE = "Node/n1"
CORDON = f"{NODE} spec.unschedulable"
MARKS = f"{NODE} metadata.annotations[]"


@pytest.mark.guarantee("G3")
@pytest.mark.parametrize(
    ("item", "before", "after", "is_foreign"),
    [
        (f"{NODE} metadata.labels[team]", {}, "a", True),
        (f"{NODE} metadata.labels[dgxc.nvidia.com/nvsentinel-state]", {}, "quarantined", False),
        (f"{NODE} metadata.labels[k8saas.nvidia.com/cordon-by]", {}, "NVSentinel", False),
        (f"{NODE} metadata.annotations[offbus.dev/x]", {}, "1", False),
        (f"{NODE} metadata.annotations[quarantineHealthEventIsCordoned]", "True", {}, False),
        (f"{NODE} spec.taints", [], ["a=b:NoSchedule"], False),
        (f"{NODE} condition MemoryPressure", ["False", "Enough"], ["True", "TooLittle"], True),
        (f"{NODE} condition GpuXidError", {}, ["True", "GpuXidErrorIsNotHealthy"], False),
        (CORDON, False, True, True),
        (CORDON, True, False, False),
        (f"Deployment/a/b {REST}", "x", "y", True),
        (f"Deployment/a/b {REST}", {}, "y", False),
        (f"Deployment/a/b {REST}", "x", {}, False),
        (f"Deployment/a/b {OURS}", {"a": 1}, {"a": 2}, False),
        ("Agent/n1 faults", [], ["f armed"], False),
        ("Namespace/a left by this run", {}, True, False),
    ],
)
def test_what_neither_a_drill_nor_a_responder_sets_is_external(
    item: str, before: Any, after: Any, *, is_foreign: bool
) -> None:
    was = {} if before == {} else {item: before}
    now = {} if after == {} else {item: after}
    assert (external_change(item, was, now, None) is not None) is is_foreign


def test_a_cordon_that_a_responder_signed_is_not_foreign() -> None:
    assert (
        external_change(CORDON, {CORDON: False}, {CORDON: True, MARKS: {"quarantineHealthEvent": "[]"}}, None)
        is None
    )
    assert external_change(CORDON, {CORDON: False}, {CORDON: True, MARKS: {"team": "a"}}, None) is not None


CAUSE = Cause.of(79, ["GPU-1"], [])
OURS_SEEN = Finding(names.XID_CHECK, ("79",), (("GPU_UUID", "GPU-1"),))
OTHER_SEEN = Finding(names.XID_CHECK, ("48",), (("GPU_UUID", "GPU-2"),))
XID = f"{NODE} condition {names.XID_CHECK}"
STATE = f"{NODE} metadata.labels[{names.STATE_LABEL}]"


def fault(*seen: Finding, node: str = "n1", complete: bool = True, **more: Any) -> NodeFault:
    return NodeFault(node, CAUSE, Seen(findings=seen, **more), complete=complete)


def told(*findings: Finding) -> list[Any]:
    """A condition's value in a fingerprint."""
    facts = [[list(one.codes), [list(pair) for pair in one.entities]] for one in findings]
    return ["True", f"{names.XID_CHECK}{names.UNHEALTHY_SUFFIX}", facts]


@pytest.mark.parametrize(
    ("was", "now", "is_foreign"),
    [
        (None, told(OURS_SEEN), False),
        (None, told(OTHER_SEEN), True),
        (None, told(OTHER_SEEN, OURS_SEEN), False),
        (told(OTHER_SEEN), told(OTHER_SEEN, OURS_SEEN), False),
        (told(OURS_SEEN), told(OURS_SEEN, OTHER_SEEN), True),
        (told(OTHER_SEEN), None, True),
        (told(OURS_SEEN), None, False),
        (told(Finding(names.XID_CHECK, ("48",), (("GPU_UUID", "GPU-1"),))), None, False),
        (None, told()[:2], False),
        (None, [*told()[:2], "hostile"], False),
        (None, [*told()[:2], [[7]]], False),
    ],
    ids=[
        "ours",
        "another's",
        "both",
        "ours beside another's",
        "another's beside ours",
        "another's went",
        "ours went",
        "our clear may have ended it",
        "of 0.1.0",
        "no list",
        "no facts",
    ],
)
def test_a_condition_is_ours_by_what_it_reports(was: Any, now: Any, *, is_foreign: bool) -> None:
    before, after = ({XID: value} if value is not None else {} for value in (was, now))
    assert (external_change(XID, before, after, [fault()]) is not None) is is_foreign


def test_a_condition_of_another_check_is_not_ours() -> None:
    item = f"{NODE} condition FabricConnection"
    now = {item: ["True", f"FabricConnection{names.UNHEALTHY_SUFFIX}"]}
    assert external_change(item, {}, now, [fault()]) is not None


@pytest.mark.parametrize("item", [XID, STATE, CORDON, f"{NODE} spec.taints"])
def test_on_a_node_without_a_fault_nothing_of_a_responder_is_ours(item: str) -> None:
    now = {item: told(OURS_SEEN), MARKS: {"quarantineHealthEvent": "[]"}}
    assert external_change(item, {}, now, [fault(node="n2")]) == "no fault of this run was on that node"
    assert external_change(item, {}, now, []) is not None


RUN = "abcd1234"
FAULT = Fault(
    id=f"{RUN}-inject-1",
    node="n1",
    gpus=["GPU-1"],
    xid=79,
    planes=["cuda"],
    holders={},
    mark=0,
    injected_seq=0,
    injected_ns=0,
)
RECORDS = Touched.of([DisarmFault(fault=FAULT)], run=RUN)
"""Of a fault without a line: no record says what a responder did."""
AGENT = "Agent/n1 faults"
AWAY = {"Agent/n1": "cannot be asked: Unavailable"}


@pytest.mark.guarantee("G3")
@pytest.mark.parametrize(
    ("item", "before", "after"),
    [
        (AGENT, {AGENT: []}, {}),
        (AGENT, {AGENT: []}, AWAY),
        ("Agent/n1", {AGENT: []}, AWAY),
        ("Agent/n1", AWAY, {AGENT: []}),
        (AGENT, {}, {AGENT: []}),
        (AGENT, {AGENT: []}, {AGENT: [f"{RUN}-inject-1 armed"]}),
        (AGENT, {AGENT: []}, {AGENT: ["other-inject-1 armed"]}),
        ("Node/n1 page", {"Node/n1 page": "disarmed"}, {"Node/n1 page": "armed"}),
        ("Node/n1 page", {"Node/n1 page": "disarmed"}, {}),
    ],
    ids=[
        "gone",
        "silent",
        "silence",
        "answers again",
        "new",
        "a fault of the run",
        "a fault of another run",
        "an armed page",
        "no page",
    ],
)
def test_an_agent_that_leaves_joins_or_is_silent_is_ours_where_a_fault_of_the_run_was(
    item: str, before: dict[str, Any], after: dict[str, Any]
) -> None:
    """Elsewhere only a fault that has the run's id is."""
    assert external_change(item, before, after, [], RECORDS) is None
    assert external_change(item, before, after, None) is None, "nobody knows what the run did"
    elsewhere = Touched.of([DisarmFault(fault=FAULT.model_copy(update={"node": "n2"}))], run=RUN)
    left = any(one.startswith(f"{RUN}-") for one in (*before.get(AGENT, ()), *after.get(AGENT, ())))
    for records in (elsewhere, Touched.of([], run=RUN)):
        why = external_change(item, before, after, [], records)
        assert why == (None if left else "no fault of this run was on that node")


def quarantine(*codes: str) -> dict[str, Any]:
    events = [event(code, "GPU-1" if code == "79" else "GPU-2", id=code) for code in codes]
    return {MARKS: {"quarantineHealthEvent": json.dumps(events)}}


@pytest.mark.parametrize(
    ("before", "after", "one", "is_foreign"),
    [
        ({}, quarantine("79"), fault(), False),
        ({}, quarantine("48"), fault(), True),
        ({}, quarantine("48", "79"), fault(), False),
        (quarantine("79"), quarantine("79", "48"), fault(), True),
        ({}, {}, fault(), True),
        ({}, {}, fault(OURS_SEEN), False),
        ({}, {}, fault(OTHER_SEEN), True),
        ({}, {}, fault(OTHER_SEEN, OURS_SEEN), False),
        ({}, {}, fault(complete=False), False),
        ({}, {}, fault(OTHER_SEEN, complete=False), True),
        ({XID: told(OTHER_SEEN)}, {}, fault(OTHER_SEEN, complete=False), False),
    ],
    ids=[
        "for ours",
        "for another",
        "for both",
        "for another, since",
        "for nothing seen",
        "ours was seen",
        "another was seen",
        "both were seen",
        "nobody watched",
        "another was seen by a recovery",
        "another was there before",
    ],
)
def test_marks_are_ours_by_what_the_node_is_in_quarantine_for(
    before: Any, after: Any, one: NodeFault, *, is_foreign: bool
) -> None:
    assert (external_change(STATE, before, {**after, STATE: "x"}, [one]) is not None) is is_foreign


def test_a_taint_is_ours_when_the_responder_applied_it() -> None:
    item = f"{NODE} spec.taints"
    applied = fault(OURS_SEEN, taints=frozenset({"a=b:NoSchedule"}))
    assert external_change(item, {item: []}, {item: ["a=b:NoSchedule"]}, [applied]) is None
    assert external_change(item, {item: []}, {item: ["x=y:NoSchedule"]}, [applied]) is not None
    assert external_change(item, {item: ["x=y:NoSchedule"]}, {item: []}, [applied]) is None


def test_annotations_of_others_are_told_apart_without_their_values() -> None:
    """Rancher's k3s.io/node-env holds a token; what a drill or a responder sets is needed as it is."""
    ours = {"offbus.dev/x": "1", "quarantineHealthEvent": "[]"}
    one, other = (
        shown_annotations({"k3s.io/node-env": value, **ours}) for value in ("K3S_TOKEN=a", "K3S_TOKEN=b")
    )
    assert one != other
    assert "K3S_TOKEN" not in str(one)
    assert {key: one[key] for key in ours} == ours


def counted(count: int, ready: int, preload: int = 0) -> dict[str, int]:
    return {"count": count, "ready": ready, "preload": preload}


@pytest.mark.parametrize(
    ("before", "after", "is_foreign"),
    [
        (counted(2, 2), counted(3, 3), True),
        (counted(2, 2), counted(2, 1), False),
        (counted(2, 2), counted(1, 1), False),
        (counted(2, 2), counted(3, 3, 1), False),
        (counted(2, 2, 2), counted(2, 2), True),
        (None, counted(1, 1), False),
        (counted(1, 1), None, False),
    ],
    ids=str,
)
def test_pods_that_are_missing_unready_or_prepared_are_not_foreign(
    before: Any, after: Any, *, is_foreign: bool
) -> None:
    was, now = {"Pods of x": before}, {"Pods of x": after}
    assert (external_change("Pods of x", was, now, None) is not None) is is_foreign


NAMES = st.sampled_from(["LD_PRELOAD", "OFFBUS_PAGE_DIR", "offbus", "THEIRS", "PATH", "data", ""])
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=8))
SPECS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(st.one_of(inner, st.fixed_dictionaries({"name": NAMES, "value": inner})), max_size=4),
        st.dictionaries(st.sampled_from(["env", "volumes", "containers", "x"]), inner, max_size=3),
    ),
    max_leaves=20,
)


@pytest.mark.guarantee("G3")
@given(SPECS, st.text(min_size=12, max_size=20, alphabet="abcdef"))
def test_no_value_of_another_owner_gets_into_a_fingerprint(spec: Any, secret: str) -> None:
    whole = {"spec": spec, "env": [{"name": "TOKEN", "value": secret}]}
    assert secret not in json.dumps(split_spec(whole))


@given(SPECS)
def test_setting_and_removing_what_is_ours_leaves_the_rest_as_it_was(spec: Any) -> None:
    before = {"spec": spec}
    prepared = {**before, "env": [{"name": "LD_PRELOAD", "value": "x.so"}], "volumes": [{"name": "offbus"}]}
    assert split_spec(prepared)[1] == split_spec(before)[1]
    ours = split_spec(prepared)[0]
    assert ours["env[LD_PRELOAD]"] == {"name": "LD_PRELOAD", "value": "x.so"}
    assert ours != split_spec(before)[0]


@given(SPECS, st.lists(st.text(max_size=8), min_size=2, max_size=2, unique=True))
def test_the_rest_differs_when_a_foreign_variable_does(spec: Any, values: list[str]) -> None:
    specs = [{"spec": spec, "env": [{"name": "THEIRS", "value": value}]} for value in values]
    ours, rests = zip(*map(split_spec, specs), strict=True)
    assert rests[0] != rests[1]
    assert ours[0] == ours[1]


def test_a_spec_of_any_depth_has_a_digest() -> None:
    """And one that differs wherever the spec does, however deep."""

    def spec(innermost: object, depth: int) -> dict[str, Any]:
        nested: object = innermost
        for _ in range(depth):
            nested = {"a": [nested]}
        return {"env": [{"name": "LD_PRELOAD", "value": "x"}], "services": nested}

    hostile = {"env": [{"name": "LD_PRELOAD", "value": spec("1", 20_000)}]}
    assert len(json.dumps(split_spec(hostile))) < 1000
    for depth in (1, 40, 20_000):
        (ours, first), (_, same), (_, other) = (split_spec(spec(one, depth)) for one in ("1", "1", "2"))
        assert ours == {"env[LD_PRELOAD]": {"name": "LD_PRELOAD", "value": "x"}}
        assert first == same
        assert first != other
