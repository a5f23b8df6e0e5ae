"""Whose doing a difference in the fingerprint can be; and that no foreign value gets into one."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offbus_steps.residue.external_changes import OURS, REST, external_change, shown_annotations, split_spec

NODE = "Node/n1"
CORDON = f"{NODE} spec.unschedulable"
MARKS = f"{NODE} metadata.annotations[]"


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
    assert (external_change(item, was, now) is not None) is is_foreign


def test_a_cordon_that_a_responder_signed_is_not_foreign() -> None:
    assert (
        external_change(CORDON, {CORDON: False}, {CORDON: True, MARKS: {"quarantineHealthEvent": "[]"}})
        is None
    )
    assert external_change(CORDON, {CORDON: False}, {CORDON: True, MARKS: {"team": "a"}}) is not None


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
    assert (external_change("Pods of x", was, now) is not None) is is_foreign


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
