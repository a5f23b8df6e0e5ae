"""What was undone is watched as long as others may still act on it: after the undo, in virtual time."""

import pytest

from offbus.exits import Exit

SETTLES = "{{id: one, uses: set_key, with: {{key: k, value: new, undo: {undo}}}}}"
FAULT = "{id: fault, uses: set_key, with: {key: f, fault: true, undo: disarm}}"


def played(drill, undo, *more, **settings):
    one = drill("\n".join((SETTLES.format(undo=undo), *more)), **settings)
    return one, one.play()


def during(phase):
    """A signal when the run enters a phase."""

    def interrupt(session, event):
        if event["kind"] == "phase" and event["data"]["name"] == phase:
            session.stop("SIGINT")

    return interrupt


@pytest.mark.guarantee("G31")
@pytest.mark.timer("engine/offbus/runner/settling.py")
def test_what_may_still_be_touched_is_watched_for_its_time(drill):
    one, report = played(drill, "settled", FAULT)
    (settled,) = report.settling
    assert (settled.result, settled.limit_s, settled.watched_s) == ("quiet", 60, pytest.approx(60, abs=0.1))
    assert settled.what == "restore k"
    assert (report.exit, one.world) == (Exit.PASSED, {})
    assert [event["data"]["name"] for event in one.events if event["kind"] == "phase"] == [
        "open",
        "steps",
        "undo",
        "settle",
        "close",
    ]


@pytest.mark.guarantee("G31")
@pytest.mark.timer("engine/offbus/runner/settling.py")
def test_what_shows_again_is_undone_once_more_and_watched_anew(drill):
    one, report = played(drill, "unsettled", FAULT)
    (settled,) = report.settling
    assert (settled.result, settled.detail) == ("undone_again", "k is back")
    assert settled.watched_s == pytest.approx(5 + 5 + 60, abs=0.1)
    (undo,) = [undo for undo in report.undos if undo.describe == "restore k"]
    assert [one.by for one in undo.tries] == ["runner", "settle", "settle"]
    assert (report.exit, one.world) == (Exit.PASSED, {})


@pytest.mark.timer("engine/offbus/runner/settling.py")
def test_what_never_rests_is_undone_a_last_time(drill):
    one, report = played(drill, "restless", FAULT)
    (settled,) = report.settling
    assert settled.result == "undone_again"
    assert settled.watched_s == pytest.approx(4 * 5, abs=0.1)
    assert (report.exit, one.world) == (Exit.PASSED, {})


def test_what_cannot_be_undone_again_is_residue(drill):
    _, report = played(drill, "settles_once", FAULT)
    (settled,) = report.settling
    assert settled.result == "conflict"
    assert report.residue[0].item == "restore k"
    assert report.residue[0].detail == "not undone: k is 'foreign'"
    assert report.exit == Exit.RESIDUE


def test_a_signal_ends_the_watch_and_changes_nothing_else(drill):
    one, report = played(drill, "settled", FAULT, on_event=during("settle"))
    (settled,) = report.settling
    assert (settled.result, settled.detail) == ("unwatched", "ended by SIGINT")
    assert settled.watched_s == pytest.approx(0, abs=0.1)
    assert (report.verdict, report.exit, one.world) == ("passed", Exit.PASSED, {})


@pytest.mark.parametrize("when", ["expectation", "close"])
def test_a_signal_after_the_undo_only_ends_the_watch_whenever_it_comes(drill, when):
    """Before the watch has begun, and once it has ended: by then everything is undone."""

    def interrupt(session, event):
        if when in (event["kind"], event["data"].get("name")):
            session.stop("SIGINT")

    one, report = played(drill, "settled", FAULT, head="expect: ['1 == 1']", on_event=interrupt)
    (settled,) = report.settling
    assert settled.result == ("unwatched" if when == "expectation" else "quiet")
    assert (report.verdict, report.exit, report.reasons) == ("passed", Exit.PASSED, [])
    assert one.world == {}


def test_a_run_that_was_interrupted_is_not_watched(drill):
    one, report = played(
        drill, "settled", "{id: long, uses: wait, with: {seconds: 9}}", on_event=during("undo")
    )
    (settled,) = report.settling
    assert settled.result == "unwatched"
    assert (report.exit, one.world) == (Exit.INTERRUPTED, {})


def test_it_can_be_left_out(drill):
    one, report = played(drill, "settled", FAULT, settle=False)
    (settled,) = report.settling
    assert (settled.result, settled.detail) == ("unwatched", "--no-settle")
    assert (report.exit, one.world) == (Exit.PASSED, {})


@pytest.mark.parametrize(
    ("undo", "why"),
    [
        ("unwatchable", "the key store is gone"),
        ("watch_bug", "bug in undo WatchBug: RuntimeError: no"),
    ],
)
def test_a_watch_that_fails_is_unwatched_and_the_run_goes_to_its_end(drill, undo, why):
    one, report = played(drill, undo, FAULT)
    (settled,) = report.settling
    assert (settled.result, settled.detail) == ("unwatched", why)
    assert (report.verdict, report.exit, one.world) == ("passed", Exit.PASSED, {})
    assert one.events[-1]["kind"] == "run_ended"


def test_a_drill_of_which_nothing_has_to_settle_is_over_at_once(drill):
    one, report = played(drill, "restore_key", FAULT)
    assert report.settling == []
    assert "settle" not in [event["data"].get("name") for event in one.events]
