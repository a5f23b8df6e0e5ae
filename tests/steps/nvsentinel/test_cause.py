"""Whose a finding is: by check, code and GPU, in every place where a responder writes, whatever others write there."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offbus_agent.catalogue.catalogue import catalogue
from offbus_sandbox.responder.detector.xid_line import parse_xid
from offbus_sandbox.responder.health_event import entry_text
from offbus_steps.nvsentinel import names
from offbus_steps.nvsentinel.cause import Cause
from offbus_steps.nvsentinel.findings import (
    CUT,
    LONGEST_MESSAGE,
    Finding,
    entry_finding,
    entry_head,
    event_finding,
    findings_of,
    quarantine_events,
    report_finding,
    told_message,
)
from tests.kits.responder.health_events import UUID, fault
from tests.kits.steps.responder_marks import condition_of, event, finding, reported

PCI = "0000:3b:00"
CAUSE = Cause.of(79, [UUID], [PCI])


def tracked(*events: Any) -> list[Finding | None]:
    return [event_finding(one) for one in quarantine_events({names.QUARANTINE_EVENTS: json.dumps(events)})]


@pytest.mark.parametrize(
    ("entities", "ours"),
    [
        ((("PCI", PCI),), True),
        ((("PCI", "00000000:3B:00.0"),), True),
        ((("GPU", PCI),), True),
        ((("GPU_UUID", UUID),), True),
        ((("GPU_UUID", UUID.upper()),), True),
        ((("PCI", "0000:5e:00"), ("GPU_UUID", UUID)), True),
        ((("NVLINK", "3"), ("PCI", PCI), ("REG0", "0")), True),
        ((("PCI", "0000:5e:00"),), False),
        ((("GPU_UUID", UUID[:-1]),), False),
        ((("GPU", "0"),), False),
        ((("PCI", UUID),), False),
        ((("GPU_UUID", PCI),), False),
        ((("NVSWITCH", PCI),), False),
        ((("PCI", ""),), False),
        ((), False),
    ],
    ids=str,
)
def test_a_finding_is_the_faults_own_by_its_gpu(entities: Any, *, ours: bool) -> None:
    assert CAUSE.made(Finding(names.XID_CHECK, ("79",), entities)) is ours


@pytest.mark.parametrize(
    ("check", "codes", "ours"),
    [
        (names.XID_CHECK, ("79",), True),
        (names.XID_CHECK, ("48", "79"), True),
        (names.XID_CHECK, ("48",), False),
        (names.XID_CHECK, ("79.X",), False),
        (names.XID_CHECK, ("179",), False),
        (names.XID_CHECK, (), False),
        ("SysLogsGPUFallenOff", ("79",), False),
        ("", ("79",), False),
    ],
    ids=str,
)
def test_a_finding_is_the_faults_own_by_check_and_code(check: str, codes: Any, *, ours: bool) -> None:
    assert CAUSE.made(Finding(check, codes, (("PCI", PCI),))) is ours


def test_a_gpu_whose_address_or_uuid_is_not_known_matches_nothing_by_it() -> None:
    unknown = Cause.of(79, ["", UUID], [""])
    assert not unknown.made(Finding(names.XID_CHECK, ("79",), (("PCI", ""), ("GPU_UUID", ""))))
    assert unknown.made(Finding(names.XID_CHECK, ("79",), (("GPU_UUID", UUID),)))


@pytest.mark.parametrize("xid", catalogue())
def test_the_codes_of_every_xid_are_those_of_its_line(xid: int) -> None:
    for text in (catalogue()[xid].text, catalogue()[xid].text_before_r575):
        report = parse_xid(f"NVRM: Xid (PCI:{PCI}): {text}")
        assert report is not None
        assert report.code in Cause.of(xid, [UUID], [PCI]).codes


def test_what_the_stand_in_writes_is_recognised_in_all_places() -> None:
    made = fault("79")
    places = [
        *findings_of(condition_of(entry_text(made))),
        *findings_of(condition_of(entry_text(made, compact=True))),
        report_finding(reported(entry_text(made))),
        *tracked(json.loads(made.model_dump_json())),
    ]
    assert len(places) == 4
    for found in places:
        assert found is not None
        assert CAUSE.made(found)
        assert found.action == "RESTART_BM"


def test_every_entry_of_a_condition_is_a_finding_of_its_own() -> None:
    both = condition_of(finding("48", "GPU-2"), finding(pci=PCI))
    assert [CAUSE.made(one) for one in findings_of(both)] == [False, True]


@pytest.mark.parametrize(
    "condition",
    [
        {**condition_of(finding(pci=PCI)), "status": "False"},
        {**condition_of(finding(pci=PCI)), "status": "Unknown"},
        {**condition_of(finding(pci=PCI)), "reason": "FaultyIsNotHealthy"},
        {**condition_of(finding(pci=PCI)), "reason": None},
        condition_of("the disk is full: ErrorCode:79 PCI:0000:3b:00;"),
        {**condition_of(finding(pci=PCI)), "message": None},
        {},
    ],
    ids=["not now", "not known", "another reason", "no reason", "later words", "no message", "nothing"],
)
def test_conditions_that_say_no_such_thing(condition: Any) -> None:
    assert not CAUSE.mine(findings_of(condition))


HOSTILE = ("A:b ", "ErrorCode:7 ", "A:b", "A", "Recommended Action=A", " ", ";", "A:b;")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("unit", HOSTILE)
def test_a_message_of_any_length_is_read_once(unit: str) -> None:
    """Whoever may write Events writes 1.5 MB: what grows with the square takes minutes for it."""
    text = unit * (1_500_000 // len(unit))
    entry_head(text)
    assert len(findings_of(condition_of(text))) <= LONGEST_MESSAGE
    assert report_finding(reported(text)).cut


def test_of_a_message_that_is_too_long_the_beginning_counts() -> None:
    text = finding(pci=PCI) + "x" * LONGEST_MESSAGE
    whole, rest = findings_of(condition_of(text))
    assert CAUSE.made(whole)
    assert rest.cut
    assert len(told_message(text)) == LONGEST_MESSAGE + len(CUT)
    assert told_message(text[:LONGEST_MESSAGE]) == text[:LONGEST_MESSAGE]


@given(
    st.lists(
        st.sampled_from(["A:b", "ErrorCode:79", "a:b", " ", "  ", "\n", "x", ";", "Recommended Action=X"])
    )
)
def test_the_head_of_an_entry_is_the_words_before_any_other_text(pieces: list[str]) -> None:
    entry = "".join(pieces)
    codes, entities, rest, action = entry_head(entry)
    assert rest in entry
    assert not re.match(r"[A-Z][A-Z0-9_]*:\S", rest)
    assert action in ("", "X")
    assert len(codes) <= entry.count("ErrorCode:")
    assert len(entities) <= entry.count(":")


def test_an_annotation_holds_many_events_or_in_older_releases_one() -> None:
    mine, others = event(pci=PCI, uuid=""), event("48", "GPU-2", id="e2")
    many = [one for one in tracked(others, mine) if one is not None]
    assert [one.id for one in CAUSE.mine(many)] == ["e1"]
    (alone,) = quarantine_events({names.QUARANTINE_EVENTS: json.dumps(mine)})
    assert event_finding(alone) == many[1]
    assert many[1].action == "RESTART_BM"


@pytest.mark.guarantee("G24")
@pytest.mark.parametrize(
    "odd",
    [
        {"isHealthy": True},
        {"checkName": None},
        {"checkName": [names.XID_CHECK]},
        {"errorCode": "79"},
        {"errorCode": [79]},
        {"errorCode": None},
        {"entitiesImpacted": {"entityType": "PCI", "entityValue": PCI}},
        {"entitiesImpacted": [["PCI", PCI], None, 4, {"entityType": "PCI"}]},
        {"entitiesImpacted": [{"entityType": ["PCI"], "entityValue": PCI}]},
    ],
    ids=str,
)
def test_events_of_another_shape_are_nobodys(odd: Any) -> None:
    (found,) = tracked(event(pci=PCI, uuid=UUID) | odd)
    assert found is None or not CAUSE.made(found)


@pytest.mark.parametrize(
    "text", ["", "[", "[" * 100_000, "null", "7", '"x"', "[[]]", "{}", '{"a": 1}', "NaN"]
)
def test_an_annotation_that_is_no_list_of_events_says_nothing(text: str) -> None:
    found = map(event_finding, quarantine_events({names.QUARANTINE_EVENTS: text}))
    assert not [one for one in found if one is not None]


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from([*event()]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(JSON)
def test_no_annotation_breaks_the_reader(value: Any) -> None:
    for one in quarantine_events({names.QUARANTINE_EVENTS: json.dumps(value)}):
        found = event_finding(one)
        assert found is None or not CAUSE.made(found)


@given(st.text(max_size=120))
def test_no_message_breaks_the_reader(text: str) -> None:
    found = entry_finding(names.XID_CHECK, text)
    assert not CAUSE.made(found) or ("79" in found.codes and found.entities)


IDS = ("e1", "e2")


@pytest.mark.parametrize(
    ("name", "gpus", "codes", "ours"),
    [
        ("maintenance-n-e1", (), ("79", "48"), True),
        ("maintenance-n-e2", (), ("79", "48"), False),
        ("maintenance-n-e9", (), ("79", "48"), False),
        ("maintenance-n-e9", (), ("79",), True),
        ("maintenance-n-e9", (), ("48",), False),
        ("maintenance-n-e9", (), (), False),
        ("x-e1", (), ("79", "48"), False),
        ("maintenance-n-e2", (UUID,), ("79", "48"), True),
        ("maintenance-n-e1", ("0000:5e:00.0",), ("79",), False),
        ("maintenance-n-e9", ("0000:3b:00.0",), (), True),
    ],
)
def test_a_maintenance_resource_is_for_the_fault_or_for_another(
    name: str, gpus: tuple[str, ...], codes: tuple[str, ...], *, ours: bool
) -> None:
    known = [
        Finding(names.XID_CHECK, (code,), (("PCI", PCI),), id=one)
        for code, one in zip(codes, IDS, strict=False)
    ]
    assert CAUSE.asked_for(name, "n", gpus, known) is ours
