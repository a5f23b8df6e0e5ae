"""A recording against a course: what the page of the real NVSentinel tells is no difference, each change is named."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offbus_steps.nvsentinel import names
from offbus_steps.nvsentinel.course import COURSES, OBSERVED, Stage
from offbus_steps.recordings.compare import Comparison, compare
from offbus_steps.recordings.fields import ANNOTATION, CONDITION, CORDONED, EXISTS, FINDINGS, RESPONDER
from offbus_steps.recordings.format import Change, Gap, Line, Recording, read_recording
from tests.kits.proportion import in_proportion
from tests.kits.steps.observed_drills import (
    FAULT_AT,
    FOUND,
    HEADER,
    UNHEALTHY,
    Step,
    cancelled,
    dry_run,
    lines_of,
    moved,
    support,
    without,
    write,
    xid79,
)


def compared(tmp_path: Path, lines: Sequence[Line], fault_at: float | None = FAULT_AT) -> list[Comparison]:
    return compare(read_recording(write(tmp_path / "drill.jsonl", lines)), OBSERVED, fault_at)


def told(tmp_path: Path, steps: Sequence[Step]) -> list[tuple[str, str, str]]:
    """Kind, transition and what was seen of each difference."""
    [one] = compared(tmp_path, lines_of(steps))
    return [(d.kind, d.transition, d.seen) for d in one.differences]


def test_the_observed_drill_is_as_the_course_says(tmp_path: Path) -> None:
    [one] = compared(tmp_path, lines_of(xid79()))
    assert (one.situation, one.differences) == ("repair", ())
    course = OBSERVED.situation("RESTART_BM", cordons=True)
    assert course is not None
    assert one.compared == len(course.transitions), "every transition was compared, the detection included"
    assert (one.quarantine.actions, one.quarantine.entities) == (["RESTART_BM"], 2)


@pytest.mark.parametrize(
    ("steps", "situation"),
    [(support(), "support"), (dry_run(), "dry run"), (cancelled(), "repair")],
    ids=["support", "dry run", "cancelled by hand"],
)
def test_other_situations_have_courses_of_their_own(
    tmp_path: Path, steps: list[Step], situation: str
) -> None:
    [one] = compared(tmp_path, lines_of(steps))
    assert (one.situation, one.differences) == (situation, ())


def test_of_very_many_actions_some_are_told(tmp_path: Path) -> None:
    found = "; ".join(f"SysLogsXIDError 79 action={'A' * number}" for number in range(1, 50))
    later = Step("more", 11.0, "Node/node-1", [(FINDINGS + names.XID_CHECK, None, found)])
    steps = [*xid79(), later]
    [one] = compared(tmp_path, lines_of(steps))
    assert len(one.quarantine.actions) == 16


VALIDATION = Step("validation", 55.15, "ValidationRequest/validationrequest-1", [(EXISTS, None, RESPONDER)])


@pytest.mark.parametrize(
    ("release", "validates", "differences"),
    [
        ("main-2026-08", False, []),
        ("v1.8", False, []),
        ("v1.33", False, []),
        ("v1.33", True, []),
        ("main-2026-08", True, ["late", "unexpected"]),
    ],
)
def test_a_validation_before_the_uncordon_is_of_the_releases_that_have_one(
    tmp_path: Path, release: str, validates: bool, differences: list[str]
) -> None:
    steps = [*moved(xid79(), "uncordon", 535.0), VALIDATION] if validates else xid79()
    path = write(tmp_path / "drill.jsonl", lines_of(steps, ends=600.0))
    [one] = compare(read_recording(path), COURSES[release], FAULT_AT)
    assert sorted(found.kind for found in one.differences) == differences


def test_the_stand_in_s_quick_profile_is_the_observed_one_at_a_twentieth() -> None:
    fast, observed = (
        COURSES[name].situation("RESTART_BM", cordons=True) for name in ("fast", "main-2026-08")
    )
    assert fast is not None
    assert observed is not None
    assert [one.low_s * 20 for one in fast.transitions] == pytest.approx(
        [one.low_s for one in observed.transitions]
    )


@pytest.mark.timer("steps/offbus_steps/nvsentinel/course.py")
@pytest.mark.parametrize("at", [10.05, 10.2], ids=["condition first", "cordon first"])
def test_cordon_and_condition_come_in_either_order(tmp_path: Path, at: float) -> None:
    assert told(tmp_path, moved(xid79(), "condition", at)) == []


@pytest.mark.timer("steps/offbus_steps/nvsentinel/course.py")
@pytest.mark.parametrize(
    ("step", "at", "kind", "transition"),
    [
        ("drain-succeeded", 10.15, "order", "draining → drain-succeeded"),
        ("remediating", 20.3, "order", "drain-succeeded → remediating"),
        ("remediation-succeeded", 12.0, "order", "maintenance requested → remediation-succeeded"),
        ("requested", 12.0, "order", "drain-succeeded → maintenance requested"),
        ("done", 20.5, "order", "maintenance requested → maintenance done"),
        ("draining", 11.5, "order", "draining → eviction"),
        ("draining", 11.5, "late", "cordon → draining"),
        ("condition", 13.0, "early", "condition → cordon"),
        ("done", 40.0, "late", "maintenance requested → maintenance done"),
        ("drain-succeeded", 12.0, "early", "draining → drain-succeeded"),
        ("uncordon", 80.0, "late", "condition cleared → uncordon"),
        ("condition", 40.0, "late", "fault → condition"),
    ],
)
def test_what_comes_at_another_time_is_named(
    tmp_path: Path, step: str, at: float, kind: str, transition: str
) -> None:
    assert (kind, transition) in [found[:2] for found in told(tmp_path, moved(xid79(), step, at))]


def test_a_difference_says_what_was_expected_and_seen_and_where(tmp_path: Path) -> None:
    [one] = compared(tmp_path, lines_of(moved(xid79(), "done", 40.0)))
    [late] = one.differences
    assert (late.expected, late.seen) == ("3 to 9 s (accepted: 1.5 to 14.5 s)", "19.3 s")
    assert late.line == 15
    assert late.source == "seen: nvsentinel-observed.md, Times: RebootNode, provider kind"
    [one] = compared(tmp_path, lines_of(moved(xid79(), "remediating", 20.3)))
    [order] = [d for d in one.differences if d.kind == "order"]
    assert order.expected == "remediating after drain-succeeded"
    assert order.seen == "remediating came 0.1 s before drain-succeeded (line 11)"


def test_what_does_not_come_is_named(tmp_path: Path) -> None:
    assert [one[:2] for one in told(tmp_path, without(xid79(), "remediating"))] == [
        ("missing", "drain-succeeded → remediating")
    ]
    assert ("missing", "maintenance requested → maintenance done", "not within 34.4 s") in told(
        tmp_path, without(xid79(), "done")
    )
    assert [one[:2] for one in told(tmp_path, without(xid79(), "uncordon"))] == [
        ("missing", "condition cleared → uncordon")
    ]


def test_what_does_not_belong_there_is_named(tmp_path: Path) -> None:
    remediating = next(one for one in xid79() if one.name == "remediating")
    [one] = told(tmp_path, [*support(), Step("remediating", 20.5, remediating.subject, remediating.changes)])
    assert one == ("unexpected", "remediating", "remediating at 25.5 s")


def test_a_fault_of_many_entities_stays_cordoned(tmp_path: Path) -> None:
    many = "PCI:0000:3b:00 GPU_UUID:gpu-1 NVLINK:7 REG0:0x1"
    assert told(tmp_path, without(support(many), "uncordon")) == []
    [one] = told(tmp_path, support(many))
    assert one == ("unexpected", "uncordon", "uncordon 0.1 s after condition cleared")


def test_an_action_without_a_course_is_said_to_have_none(tmp_path: Path) -> None:
    lines = [
        one.model_copy(update={"to": one.to.replace("RESTART_BM", "CUSTOM")})
        if hasattr(one, "to") and isinstance(one.to, str)
        else one
        for one in lines_of(xid79())
    ]
    [one] = compared(tmp_path, lines)
    assert [d.kind for d in one.differences] == ["unknown"]
    assert "no course for the action CUSTOM" in one.differences[0].expected


def test_drills_are_told_apart_by_node_and_by_quarantine(tmp_path: Path) -> None:
    late = moved(xid79(), "done", 70.0)
    lines = sorted(
        [
            *lines_of(xid79())[:-1],
            *lines_of(xid79(), node="node-2", begun=7.0)[:-1],
            *lines_of(late, begun=100.0, ends=300.0),
        ],
        key=lambda line: line.at,
    )
    found = compared(tmp_path, lines)
    assert [(one.quarantine.node, len(one.differences)) for one in found] == [
        ("node-1", 0),
        ("node-2", 0),
        ("node-1", 1),
    ]


def test_a_recording_that_ends_early_lacks_nothing(tmp_path: Path) -> None:
    for ends in (15.2, 16.0, 26.0, 27.0):
        lines = [one for one in lines_of(xid79(), ends=ends) if one.at <= ends]
        assert [one.differences for one in compared(tmp_path, lines)] == [()]


def test_times_across_a_gap_are_not_judged(tmp_path: Path) -> None:
    lines = lines_of(moved(xid79(), "drain-succeeded", 20.4), gaps=[20.0])
    assert [one.differences for one in compared(tmp_path, lines)] == [()]
    late = [one.name for one in xid79() if one.at > 20]
    steps = [
        Step(one.name, one.at + (200 if one.name in late else 0), one.subject, one.changes) for one in xid79()
    ]
    assert [one.differences for one in compared(tmp_path, lines_of(steps, gaps=[100.0], ends=400))] == [()]
    assert [[d.kind for d in one.differences] for one in compared(tmp_path, lines_of(steps, ends=400))] == [
        ["late"]
    ]


def test_a_quarantine_that_was_there_before_is_compared_from_then_on(tmp_path: Path) -> None:
    lines = [
        one.model_copy(update={"initial": True, "at": 0.0, "was": None})
        if one.at < 20 and hasattr(one, "to")
        else one
        for one in lines_of(xid79())
    ]
    [one] = compared(tmp_path, lines, fault_at=None)
    assert (one.quarantine.partial, one.situation, one.differences) == (True, "repair", ())


def test_a_cordon_by_hand_is_no_quarantine(tmp_path: Path) -> None:
    by_hand = [one for one in lines_of(xid79()) if getattr(one, "field", "") == "cordoned"]
    assert compared(tmp_path, by_hand) == []


@pytest.mark.timer("steps/offbus_steps/recordings/quarantines.py")
def test_a_cordon_long_before_is_not_the_quarantines(tmp_path: Path) -> None:
    cordon, *others = lines_of(xid79(), begun=20.0, ends=110.0)
    earlier = cordon.model_copy(update={"at": 20.0})
    [one] = compared(tmp_path, [earlier, *others], fault_at=None)
    assert (Stage.CORDON in one.quarantine.stages, one.quarantine.before) == (False, {Stage.CORDON})
    assert one.differences == ()


def test_a_faster_responder_is_compared_with_a_faster_course(tmp_path: Path) -> None:
    quick = [Step(one.name, one.at / 20, one.subject, one.changes) for one in xid79()]
    recording = read_recording(write(tmp_path / "quick.jsonl", lines_of(quick)))
    assert [one.differences for one in compare(recording, OBSERVED.faster(20), FAULT_AT)] == [()]
    [slow] = compare(recording, OBSERVED, FAULT_AT)
    assert {d.kind for d in slow.differences} == {"early"}


@pytest.mark.parametrize("course", COURSES.values(), ids=list(COURSES))
def test_each_transition_of_a_course_says_where_it_comes_from(course: object) -> None:
    assert isinstance(course, type(OBSERVED))
    for situation in course.situations:
        assert len({(one.after, one.stage) for one in situation.transitions}) == len(situation.transitions)
        for one in situation.transitions:
            assert one.basis in ("seen", "read")
            assert one.source.startswith("nvsentinel")
            assert one.earliest_s <= one.low_s
            assert one.high_s is None or one.low_s <= one.high_s <= (one.latest_s or 0)
        begins = situation.stages - {one.stage for one in situation.transitions} - {Stage.CANCELLED}
        assert begins == {Stage.FAULT}


def test_twice_the_quarantines_and_gaps_take_twice_the_work(tmp_path: Path) -> None:
    recordings: dict[int, Recording] = {}
    for number in (1, 2, 60, 119):
        lines = [Gap(at=0.0, gap="the watch was silent")] * (20 * number)
        begun = [
            Change.model_validate(
                {"at": 1.0, "subject": f"Node/n{one}", "node": f"n{one}", "from": None} | what
            )
            for one in range(number)
            for what in (
                {"field": CONDITION + names.XID_CHECK, "to": UNHEALTHY},
                {"field": ANNOTATION + names.QUARANTINE_EVENTS, "to": FOUND},
                {"field": CORDONED, "to": True},
            )
        ]
        recordings[number] = read_recording(write(tmp_path / f"{number}.jsonl", [*lines, *begun]))
    assert in_proportion(lambda number: compare(recordings[number], OBSERVED))


@given(gaps=st.lists(st.integers(0, 9), max_size=6), cordoned=st.integers(0, 9))
def test_a_transition_is_timed_unless_there_was_a_gap_in_it(gaps: list[int], cordoned: int) -> None:
    """A cordon comes within 0.2 s of the marks: one that is 10 s off is told, but for a gap between the two."""
    about = {"subject": "Node/n1", "node": "n1", "from": None}
    changes = [
        Change.model_validate(
            {"at": 10.0, "field": ANNOTATION + names.QUARANTINE_EVENTS, "to": FOUND} | about
        ),
        Change.model_validate({"at": 20.0 + cordoned, "field": CORDONED, "to": True} | about),
    ]
    lines = sorted([*changes, *(Gap(at=6.0 + 3 * gap, gap="silent") for gap in gaps)], key=lambda one: one.at)
    recording = Recording(Path("r"), HEADER, tuple(enumerate(lines, start=2)), torn=False)
    [one] = compare(recording, OBSERVED)
    inside = any(10.0 <= 6.0 + 3 * gap <= 20.0 + cordoned for gap in gaps)
    assert any(found.kind in ("early", "late") for found in one.differences) is not inside
