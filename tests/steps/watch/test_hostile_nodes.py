"""What one node's status costs a drill: bounded, whatever its kubelet writes there, and nothing is lost silently."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offbus_steps.inject.node_marks import NodeMarks
from offbus_steps.nvsentinel import names
from offbus_steps.nvsentinel.cause import Cause, Share
from offbus_steps.nvsentinel.findings import MOST_FACTS, MOST_FINDINGS, Finding
from offbus_steps.port import Object
from offbus_steps.residue.external_changes import NodeFault, external_change
from offbus_steps.residue.fingerprint import node_items
from offbus_steps.watch.node_history import Seen
from offbus_steps.watch.projections import project, project_node
from offbus_steps.watch.transitions import What, changes
from tests.kits.steps.responder_marks import condition_of, event, finding, reported

CAUSE = Cause.of(79, ["GPU-1"], [])
LARGEST_UPDATE = 32_768
"""Bytes of the journal that one update of a node may take."""


def node(*conditions: dict[str, Any], events: list[Any] | None = None) -> Object:
    annotations = {names.QUARANTINE_EVENTS: json.dumps(events)} if events is not None else {}
    meta = {"name": "n1", "annotations": annotations, "labels": {}}
    return {"kind": "Node", "metadata": meta, "spec": {}, "status": {"conditions": list(conditions)}}


def flood(conditions: int, word: str, entries: int = 4096) -> list[dict[str, Any]]:
    return [condition_of(*[f"{word};"] * entries, check=f"C{number}") for number in range(conditions)]


def marks(*conditions: dict[str, Any]) -> NodeMarks:
    return NodeMarks(CAUSE, cordoned=False, labels={}, annotations={}, taints=(), conditions=conditions)


@pytest.mark.parametrize("conditions", [40, 120, 3000])
def test_a_flood_of_findings_is_read_to_a_bound_and_says_so(conditions: int) -> None:
    now = project_node(node(*flood(conditions, "a", 4096 if conditions < 1000 else 20)))
    assert len(now.findings) == MOST_FINDINGS + 1
    assert [one.more for one in now.findings] == [False] * MOST_FINDINGS + [True]
    items = dict(node_items(node(*flood(conditions, "a", 20))))
    assert sum(len(value[2]) for value in items.values() if isinstance(value, list) and len(value) == 3) <= 65


@pytest.mark.parametrize("of", ["entries", "conditions", "events", "facts"])
def test_a_flood_takes_little_of_the_journal(of: str) -> None:
    def state(word: str) -> Object:
        if of == "events":
            return node(events=[event(word * 9, id=str(number)) for number in range(2000)])
        if of == "facts":
            return node(*flood(120, f"ErrorCode:{word} " * 800, 1))
        return node(*(flood(120, f"ErrorCode:{word}") if of == "entries" else flood(9000, f"PCI:{word}", 1)))

    found = changes(project_node(state("a")), project_node(state("b")))
    told = [[one.to, one.was, dict(one.evidence)] for one in found]
    assert found
    assert len(json.dumps(told)) < LARGEST_UPDATE


def test_an_event_takes_little_of_the_journal() -> None:
    made = reported("x" * 100_000) | {"kind": "Event"}
    (change,) = changes(None, project(made))
    assert len(json.dumps([change.to, dict(change.evidence)])) < 2048


def test_what_is_found_is_looked_through_once_however_many_conditions_there_are() -> None:
    class Counted(tuple[Finding, ...]):
        __slots__ = ()
        passes: ClassVar[int] = 0

        def __iter__(self) -> Iterator[Finding]:
            Counted.passes += 1
            return super().__iter__()

    was, now = (project_node(node(*flood(500, f"PCI:{word}", 2))) for word in "ab")
    assert changes(*(replace(one, findings=Counted(one.findings)) for one in (was, now)))
    assert Counted.passes == 2


def test_one_finding_has_no_more_facts_than_a_responder_writes() -> None:
    (many,) = project_node(node(*flood(1, "PCI:0 " * 1300, 1))).findings
    (listed,) = project_node(node(events=[{**event(), "errorCode": ["1"] * 9000}])).tracked
    assert len(many.entities) == len(listed.codes) == MOST_FACTS


@pytest.mark.guarantee("G24")
@given(st.integers(0, 200), st.integers(0, 200), st.integers(0, 300))
def test_no_flood_of_others_hides_the_drills_finding(before: int, after: int, tracked: int) -> None:
    others = [condition_of(*["b;"] * 20, check=f"A{n}") for n in range(before)]
    more = [condition_of(*["b;"] * 20, check=f"Z{n}") for n in range(after)]
    events = [event("48", "GPU-2", check="Other", id=str(n)) for n in range(tracked)]
    now = project_node(node(*others, condition_of(finding()), *more, events=[*events, event()]))
    assert CAUSE.mine(now.findings)
    assert CAUSE.mine(now.tracked)
    found = changes(project_node(node()), now)
    assert names.XID_CHECK in [one.evidence["condition"] for one in found if one.what is What.NODE_CONDITION]


XIDS = [finding("48", f"GPU-{n}") for n in range(2, 2 + MOST_FINDINGS)]
"""As many of the drill's own check as are read; what follows is not."""


@pytest.mark.guarantee("G24")
def test_a_finding_that_may_be_among_those_left_out_passes_nothing_and_is_not_lost() -> None:
    now = project_node(node(condition_of(*XIDS, finding())))
    assert not CAUSE.mine(now.findings), "what was not read proves nothing"
    assert marks().reported(now), "it may be there, so the undo is not done"
    assert marks(condition_of(*XIDS, "x;")).reported(now)
    seen = Seen(findings=now.findings)
    for complete in (True, False):
        assert marks().share(now, seen, complete=complete) is Share.BOTH, (
            "told, and nothing of others removed"
        )
    item = f"Node/n1 condition {names.XID_CHECK}"
    before, after = ({}, dict(node_items(node(condition_of(*XIDS, finding())))))
    fault = NodeFault("n1", CAUSE, seen, complete=True)
    assert external_change(item, before, after, [fault]) is None
    state = f"Node/n1 metadata.labels[{names.STATE_LABEL}]"
    assert external_change(state, {}, {**after, state: "quarantined"}, [fault]) is None


def test_events_of_a_quarantine_that_were_left_out_are_nobodys_and_nothing_is_removed_for_them() -> None:
    others = [event("48", f"GPU-{n}", id=str(n)) for n in range(MOST_FINDINGS)]
    ours_read = project_node(node(events=[event(), *others]))
    ours_left_out = project_node(node(events=[*others, event()]))
    for one in (ours_read, ours_left_out):
        assert one.tracked[-1].more
        assert CAUSE.others([one.tracked[-1]])
        assert marks().share(one, Seen(), complete=True) is Share.BOTH
        assert not CAUSE.asked_for("maintenance-n1-x", "n1", (), [one.tracked[-1]])
    assert not CAUSE.mine(ours_left_out.tracked)


def test_no_clear_is_sent_when_it_may_end_what_was_left_out() -> None:
    now = project_node(node(condition_of(finding(), *XIDS)))
    assert CAUSE.endangered(now.findings)
    others = project_node(node(condition_of(finding()), *flood(120, "a")))
    assert not CAUSE.endangered(others.findings), "a reset of a GPU clears this check alone"


def test_the_undo_removes_its_entry_wherever_it_stands() -> None:
    """Also behind more entries than are read of others' nodes; all others stay."""
    now = node(condition_of(*XIDS, *XIDS[:9], finding()), *flood(3, "a"))
    (own, *rest) = marks().with_conditions(now)["status"]["conditions"]
    assert own["message"] == "".join([*XIDS, *XIDS[:9]])
    assert rest == now["status"]["conditions"][1:]
    known = marks(condition_of(*XIDS, finding()))
    assert known.with_conditions(now) == now, "it was there before the fault"
