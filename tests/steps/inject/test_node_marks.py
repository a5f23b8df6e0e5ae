"""A node without a fault's doing: nothing of the fault stays, and nothing of others goes."""

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offbus_steps.inject.node_marks import NodeMarks
from offbus_steps.inject.undo_consequences import ClearConsequences
from offbus_steps.nvsentinel import names
from offbus_steps.nvsentinel.cause import Cause, Share
from offbus_steps.nvsentinel.findings import CUT
from offbus_steps.port import Object
from offbus_steps.watch.node_history import Seen
from offbus_steps.watch.projections import project_node
from tests.kits.steps.responder_marks import condition_of, event, finding, quarantined

UUID = "GPU-4c6a1b2c-0000-4000-8000-00000000000a"
CAUSE = Cause.of(79, [UUID], ["0000:3b:00"])
OURS = finding(uuid=UUID, pci="0000:3b:00")
OTHERS = (
    finding("48", "GPU-2"),
    finding("79", "GPU-2", pci="0000:5e:00"),
    "words;",
    finding("48", UUID, pci="0000:3b:00"),
)


def node(*conditions: Any, annotations: Any = None, labels: Any = None, spec: Any = None) -> Object:
    return {
        "kind": "Node",
        "metadata": {"name": "n", "uid": "u", "annotations": annotations or {}, "labels": labels or {}},
        "spec": spec or {},
        "status": {"conditions": list(conditions)},
    }


def marks(before: Object, cause: Cause = CAUSE) -> NodeMarks:
    undo = ClearConsequences.before(
        before, fault="f", cause=cause, expected=False, patience=timedelta(0), maintenance=()
    )
    return NodeMarks(undo.cause, undo.cordoned, undo.labels, undo.annotations, undo.taints, undo.conditions)


def message(now: Object) -> str | None:
    found: list[str] = [one["message"] for one in now["status"]["conditions"]]
    return found[0] if found else None


ENTRIES = st.lists(st.sampled_from([OURS, *OTHERS]), max_size=6, unique=True)


@pytest.mark.guarantee("G3")
@given(st.lists(st.sampled_from(OTHERS), max_size=3, unique=True), ENTRIES)
def test_of_a_condition_the_faults_entries_go_and_no_others(before: list[str], now: list[str]) -> None:
    known = marks(node(*([condition_of(*before)] if before else [])))
    left = known.with_conditions(node(*([condition_of(*now)] if now else [])))
    others = "".join(entry for entry in now if entry != OURS)
    if others or not now:
        assert message(left) == (others or None)
    else:
        assert message(left) == ("".join(before) or None), "as it was before"


@given(ENTRIES)
def test_what_was_there_before_stays(entries: list[str]) -> None:
    whole = node(*([condition_of(*entries)] if entries else []))
    assert marks(whole).with_conditions(whole) == whole


def test_an_all_clear_from_before_comes_back() -> None:
    known = marks(node(condition_of()))
    assert known.with_conditions(node(condition_of(OURS))) == node(condition_of())


@pytest.mark.parametrize("length", range(1, 70, 4))
def test_of_a_message_that_was_cut_the_rest_of_ours_goes_too(length: int) -> None:
    """Sixteen GPUs, or a few of XID 74, are more than a message holds."""
    both = Cause.of(79, [UUID, f"{UUID[:-1]}b"], ["0000:3b:00", "0000:5e:00"])
    second = finding(uuid=f"{UUID[:-1]}b", pci="0000:5e:00")
    cut = {**condition_of(OURS), "message": f"{OURS}{second[:length]}{CUT}"}
    assert message(marks(node(), both).with_conditions(node(cut))) is None


@pytest.mark.parametrize("rest", ["ErrorCode:4", "ErrorCode:79 PCI:0000:5", "ErrorCode:79 GPU_UUID:GPU-5"])
def test_of_a_message_that_was_cut_what_contradicts_stays(rest: str) -> None:
    cut = {**condition_of(OURS), "message": f"{OURS}{rest}{CUT}"}
    assert message(marks(node()).with_conditions(node(cut))) == f"{rest}{CUT};"


def test_a_cut_entry_alone_is_nobodys() -> None:
    cut = {**condition_of(OURS), "message": f"ErrorCode:79 PCI:0000:3{CUT}"}
    assert marks(node()).with_conditions(node(cut)) == node(cut)


EVENTS = st.lists(
    st.sampled_from(
        [event(uuid=UUID), event("48", "GPU-2", id="e2"), event("79", "GPU-2", id="e3"), 7, {"a": []}]
    ),
    max_size=5,
)


@given(EVENTS)
def test_of_a_quarantine_for_others_too_only_our_events_go(events: list[Any]) -> None:
    patch = quarantined(*events)
    now = node(
        annotations=patch["metadata"]["annotations"], labels=patch["metadata"]["labels"], spec=patch["spec"]
    )
    known = marks(node())
    share = known.share(project_node(now), Seen(), complete=True)
    left = known.with_metadata(known.with_metadata(now, "annotations", share), "labels", share)
    left = known.with_spec(left, share, cordon=False, taints=frozenset())
    ours = [one for one in events if one == event(uuid=UUID)]
    others = [one for one in events if isinstance(one, dict) and one != event(uuid=UUID) and "a" not in one]
    if not ours:
        assert (share, left) == (Share.OTHERS, now)
    elif others:
        assert share is Share.BOTH
        kept = [one for one in events if one not in ours]
        assert json.loads(left["metadata"]["annotations"][names.QUARANTINE_EVENTS]) == kept
        assert {**left, "metadata": {}} == {**now, "metadata": {}}
        assert left["metadata"]["labels"] == now["metadata"]["labels"]
    else:
        assert (share, left) == (Share.OWN, node())
