"""Nothing is left behind, or it is reported."""

import os
from itertools import pairwise
from pathlib import Path

import pytest

from offbus.exits import Exit
from offbus.journal.kinds import PHASE
from offbus.journal.writer import JournalWriter
from tests.kits.engine.player import outcomes
from tests.kits.virtual_time import VirtualClock

FAULT = "{id: fault, uses: set_key, with: {key: f, fault: true}}"


def undo_order(drill):
    return [e["data"]["undo"] for e in drill.events if e["kind"] == "undo_started"]


@pytest.mark.guarantee("G4")
def test_all_disarms_go_first_then_the_rest_in_reverse(drill):
    played = drill(
        f"""{FAULT}
        {{id: one, uses: set_key, with: {{key: one}}}}
        {{id: two, uses: set_key, with: {{key: two, undo: disarm}}}}
        {{id: three, uses: set_key, with: {{key: three}}}}"""
    )
    report = played.play()
    assert undo_order(played) == [3, 4, 2, 1]
    assert {undo.result for undo in report.undos} == {"restored"}
    assert played.world == {}
    assert not played.run_folder.unfinished.exists()


@pytest.mark.guarantee("G1")
def test_undo_is_journaled_before_its_effect(drill):
    seen = {}

    def look(_session, event):
        if event["kind"] == "undo_recorded":
            seen[event["data"]["describe"]] = dict(played.world)

    played = drill(FAULT, on_event=look)
    played.play()
    assert seen == {"restore f": {}}


@pytest.mark.guarantee("G4")
def test_a_failing_undo_does_not_keep_the_others_from_being_played(drill):
    played = drill(
        f"""{FAULT}
        {{id: bad, uses: set_key, with: {{key: left, undo: explode}}}}
        {{id: good, uses: set_key, with: {{key: good}}}}"""
    )
    report = played.play()
    assert report.exit == Exit.RESIDUE
    assert played.world == {"left": "set"}
    assert [undo.result for undo in report.undos] == ["restored", "failed", "restored"]
    assert len(report.undos[1].tries) == 3
    assert {one.item for one in report.residue} == {"restore left", "left"}
    assert all("offbus recover" in one.fix for one in report.residue)
    assert played.run_folder.unfinished.exists()


@pytest.mark.guarantee("G8")
@pytest.mark.timer("engine/offbus/runner/undo_runner.py")
def test_an_undo_that_fails_is_tried_again_after_a_pause_that_doubles(drill):
    played = drill(f"{FAULT}\n{{id: bad, uses: set_key, with: {{key: left, undo: explode}}}}")
    played.play()
    number = next(
        e["data"]["undo"] for e in played.events if e["kind"] == "undo_recorded" and e["step"] == "bad"
    )
    tries = [
        e["mono_ns"] / 1e9
        for e in played.events
        if e["kind"] == "undo_started" and e["data"]["undo"] == number
    ]
    assert [after - before for before, after in pairwise(tries)] == pytest.approx([0.25, 0.5], abs=0.01)


@pytest.mark.guarantee("G4")
@pytest.mark.timer("engine/offbus/runner/undo_runner.py")
def test_an_undo_that_hangs_is_bounded(drill):
    played = drill(f"{FAULT}\n{{id: bad, uses: set_key, with: {{key: left, undo: hang}}}}")
    report = played.play()
    assert "it did not end within 7 s" in report.undos[1].tries[0].detail
    assert report.exit == Exit.RESIDUE
    assert report.undos[0].result == "restored"


@pytest.mark.guarantee("G3")
def test_an_external_change_to_our_field_is_a_conflict_and_left_alone(drill):
    def meddle(_session, event):
        if event["kind"] == "step_ended":
            played.prepare(f="theirs", other="kept")

    played = drill(FAULT, on_event=meddle)
    report = played.play()
    assert played.world == {"f": "theirs", "other": "kept"}
    assert report.undos[0].result == "conflict"
    assert report.exit == Exit.RESIDUE


@pytest.mark.guarantee("G3")
def test_what_was_there_before_is_restored_not_removed(drill):
    played = drill(FAULT)
    played.prepare(f="precious")
    assert played.play().verdict == "passed"
    assert played.world == {"f": "precious"}


def test_an_unregistered_undo_type_refuses_the_effect(drill):
    played = drill("{id: bad, uses: set_key, with: {key: k, undo: unregistered}}")
    report = played.play()
    assert outcomes(report) == {"bad": "errored"}
    assert "not registered" in (report.steps[0].message or "")
    assert not any(e["kind"] == "undo_started" for e in played.events)


@pytest.mark.guarantee("G5")
def test_cleanup_undoes_now_and_stops_background_steps(drill):
    played = drill(
        f"""{FAULT}
        {{id: beside, uses: watch, background: true, with: {{key: watched}}}}
        {{id: clean, uses: cleanup, needs: [beside, fault], with: {{steps: [fault, beside]}}}}
        {{id: later, uses: wait, with: {{seconds: 5}}}}"""
    )
    report = played.play()
    assert outcomes(report) == {"fault": "passed", "beside": "passed", "clean": "passed", "later": "passed"}
    assert {undo.tries[0].by for undo in report.undos} == {"cleanup"}
    assert played.world == {}


def test_what_cleanup_could_not_undo_is_tried_again_at_the_end(drill):
    report = drill(
        """{id: bad, uses: set_key, with: {key: k, undo: explode}}
        {id: clean, uses: cleanup, with: {steps: [bad]}}"""
    ).play()
    assert outcomes(report)["clean"] == "errored"
    assert [one.by for one in report.undos[0].tries] == ["cleanup"] * 3 + ["runner"] * 3


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_cancels_undoes_and_exits_130(drill, name):
    def interrupt(session, event):
        if event["kind"] == "step_started" and event.get("step") == "slow":
            session.stop(name)

    played = drill(
        f"""{FAULT}
        {{id: slow, uses: wait, with: {{seconds: 99}}}}
        {{id: collect, uses: wait, always: true, needs: [fault], with: {{seconds: 1}}}}""",
        on_event=interrupt,
    )
    report = played.play()
    assert report.exit == Exit.INTERRUPTED
    assert outcomes(report) == {"fault": "passed", "slow": "cancelled", "collect": "skipped"}
    assert played.world == {}
    assert report.duration_s < 1


def test_a_signal_while_the_environment_opens_touches_nothing(drill):
    def interrupt(session, event):
        if event["kind"] == "environment_opened":
            session.stop("SIGINT")

    played = drill(FAULT, on_event=interrupt)
    report = played.play()
    assert report.exit == Exit.INTERRUPTED
    assert played.world == {}


def test_a_guard_that_no_longer_holds_stops_the_run_and_skips_always_steps(drill):
    played = drill(
        f"""{FAULT}
        {{id: stop, uses: abort, with: {{reason: "two nodes are cordoned, 1 allowed"}}}}
        {{id: collect, uses: wait, always: true, needs: [fault], with: {{seconds: 1}}}}"""
    )
    report = played.play()
    assert report.exit == Exit.COULD_NOT_RUN
    assert report.reasons[0] == "two nodes are cordoned, 1 allowed"
    assert outcomes(report)["collect"] == "skipped"
    assert played.world == {}


def test_a_guard_that_refuses_at_the_start_is_exit_3(drill):
    report = drill(FAULT, refuse="no room for what would be evicted").play()
    assert report.exit == Exit.COULD_NOT_RUN
    assert report.reasons[0] == "no room for what would be evicted"
    assert outcomes(report) == {"fault": "pending"}


@pytest.mark.guarantee("G1")
@pytest.mark.parametrize(
    ("breaks", "exit_code", "said"),
    [
        ("in silence", Exit.RESIDUE, "it did not open, and did not say whether anything of it is left"),
        ("dirty", Exit.RESIDUE, "it would not end: 4711 worldd"),
        ("clean", Exit.COULD_NOT_RUN, ""),
    ],
)
def test_an_environment_that_breaks_while_it_opens_is_residue_unless_it_looked(
    drill, breaks, exit_code, said
):
    played = drill(FAULT, breaks=breaks)
    report = played.play()
    assert (report.exit, report.reasons[0]) == (exit_code, "the world broke")
    assert [one.detail for one in report.residue] == ([said] if said else [])
    assert all(one.fix == f"offbus recover {report.run}" for one in report.residue)
    assert played.run_folder.unfinished.exists() == (exit_code == Exit.RESIDUE)


def test_a_stop_while_the_environment_opens_is_residue_unless_it_looked(drill):
    def interrupt(session, event):
        if event["kind"] == "environment_opened":
            session.stop("SIGINT")

    report = drill(FAULT, breaks="never opens", on_event=interrupt).play()
    assert report.exit == Exit.RESIDUE
    assert [one.item for one in report.residue] == ["environment"]


@pytest.mark.guarantee("G13")
def test_a_journal_on_a_full_disk_refuses_the_effect_and_says_so(drill):
    """From its first event on, or from any later one."""
    from offbus.errors import JournalError

    first = JournalWriter(Path("/dev/full"), "r", VirtualClock())
    with pytest.raises(JournalError, match="No space left"):
        first.append(PHASE({"name": "open"}), durable=True)
    with open("/dev/full", "wb") as full:  # noqa: PTH123  a device
        played = drill(
            FAULT,
            on_event=lambda session, event: (
                event["seq"] == 1 and os.dup2(full.fileno(), session._journal._fd)
            ),
        )
        report = played.play()
    assert report.exit == Exit.COULD_NOT_RUN
    assert any("No space left" in stop.what for stop in report.timeline)
    assert played.world == {}
