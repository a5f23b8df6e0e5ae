"""The numbered guarantees of offbus.runner.scheduler, and outcomes as design.md, section 4 has them."""

from itertools import pairwise

import pytest

from offbus.errors import CouldNotRun
from offbus.exits import Exit
from tests.kits.engine.player import outcomes

FAULT = "{id: fault, uses: set_key, with: {key: f, fault: true}}"


def started(drill, step):
    return next(e["seq"] for e in drill.events if e["kind"] == "step_started" and e.get("step") == step)


def ended(drill, step):
    return next(e["seq"] for e in drill.events if e["kind"] == "step_ended" and e.get("step") == step)


def test_a_plain_list_is_a_sequence_and_passes(drill):
    played = drill(
        f"""{FAULT}
        {{id: one, uses: wait, with: {{seconds: 60}}}}
        {{id: two, uses: wait, with: {{seconds: 60}}}}"""
    )
    report = played.play()
    assert (report.verdict, report.exit, report.reasons) == ("passed", 0, [])
    assert ended(played, "one") < started(played, "two")
    assert 120 <= report.duration_s < 121


def test_what_runs_a_later_step_and_is_missing_is_found_before_anything_is_touched(drill):
    played = drill(
        f"""{FAULT}
        {{id: later, uses: missing, with: {{seconds: 60}}}}"""
    )
    with pytest.raises(
        CouldNotRun, match="step type 'missing' cannot be run: world_missing:run cannot be loaded"
    ):
        played.play()
    assert (played.events, played.world) == ([], {})
    assert played.run_folder.journal.read_bytes() == b""


@pytest.mark.guarantee("G6")
def test_steps_without_needs_run_at_the_same_time_and_joins_wait_for_all(drill):
    played = drill(
        f"""{FAULT}
        {{id: a, uses: wait, with: {{seconds: 30}}, needs: []}}
        {{id: b, uses: wait, with: {{seconds: 50}}, needs: []}}
        {{id: join, uses: wait, with: {{seconds: 1}}, needs: [a, b]}}"""
    )
    report = played.play()
    assert report.verdict == "passed"
    assert started(played, "join") > max(ended(played, "a"), ended(played, "b"))
    assert 51 <= report.duration_s < 52


def test_a_background_step_satisfies_needs_when_ready_and_is_stopped_after_the_last_other_step(drill):
    played = drill(
        f"""{{id: beside, uses: watch, background: true, with: {{warm_up: 5}}, expect: ["outputs.ticks == 5"]}}
        {FAULT}
        {{id: after, uses: wait, with: {{seconds: 20}}, needs: [beside, fault]}}"""
    )
    report = played.play()
    assert outcomes(report) == {"beside": "passed", "fault": "passed", "after": "passed"}
    ready = next(e["seq"] for e in played.events if e["kind"] == "step_ready")
    assert ready < started(played, "after") < ended(played, "after") < ended(played, "beside")


@pytest.mark.guarantee("G8")
@pytest.mark.timer("engine/offbus/runner/scheduler.py")
def test_a_background_step_that_does_not_stop_in_time_is_timed_out(drill):
    report = drill(f"{{id: beside, uses: watch, background: true, with: {{linger: 3600}}}}\n{FAULT}").play()
    assert outcomes(report)["beside"] == "timed_out"
    assert "did not stop within 10 s" in report.reasons[0]
    assert report.duration_s == pytest.approx(10, abs=0.1)


@pytest.mark.guarantee("G7")
@pytest.mark.parametrize(
    ("kind", "outcome", "exit_code"),
    [
        ("failed", "failed", Exit.FAILED),
        ("errored", "errored", Exit.COULD_NOT_RUN),
        ("bug", "errored", Exit.COULD_NOT_RUN),
    ],
)
def test_after_a_failure_nothing_new_starts_and_what_was_done_is_undone(drill, kind, outcome, exit_code):
    played = drill(
        f"""{FAULT}
        {{id: bad, uses: set_key, with: {{key: k, fail: {kind}}}}}
        {{id: later, uses: wait, with: {{seconds: 5}}}}"""
    )
    report = played.play()
    assert outcomes(report) == {"fault": "passed", "bad": outcome, "later": "skipped"}
    assert report.steps[2].because == f"step bad {outcome}"
    assert report.exit == exit_code
    assert played.world == {}


def test_of_errors_of_several_tasks_the_first_of_a_step_decides_and_the_others_are_told(drill):
    (bad,) = drill("{id: bad, uses: set_key, with: {key: k, fail: several}}").play().steps
    assert (bad.outcome, bad.message) == ("failed", "a did not follow; also: full; b was refused")
    others = [{"message": "full", "evidence": {}}, {"message": "b was refused", "evidence": {"key": "b"}}]
    assert bad.evidence == {"key": "a", "also": others}


def test_a_bug_among_the_errors_of_several_tasks_is_a_bug(drill):
    (bad,) = drill("{id: bad, uses: set_key, with: {key: k, fail: several and a bug}}").play().steps
    assert (bad.outcome, bad.message) == ("errored", "bug: ZeroDivisionError: oops")
    assert "b was refused" in bad.evidence["traceback"]


def test_what_runs_is_cancelled_when_another_step_fails(drill):
    report = drill(
        """{id: slow, uses: wait, needs: [], with: {seconds: 100}}
        {id: bad, uses: set_key, needs: [], with: {key: k, seconds: 1, fail: failed}}"""
    ).play()
    assert outcomes(report) == {"slow": "cancelled", "bad": "failed"}
    assert report.duration_s < 2


@pytest.mark.guarantee("G7")
def test_keep_going_confines_a_failure_to_the_descendants(drill):
    report = drill(
        f"""{FAULT}
        {{id: bad, uses: set_key, needs: [], keep_going: true, with: {{key: k, fail: failed}}}}
        {{id: child, uses: wait, needs: [bad], with: {{seconds: 1}}}}
        {{id: other, uses: wait, needs: [fault], with: {{seconds: 9}}}}"""
    ).play()
    assert outcomes(report) == {"fault": "passed", "bad": "failed", "child": "skipped", "other": "passed"}
    assert report.exit == Exit.FAILED


@pytest.mark.timer("engine/offbus/runner/scheduler.py")
@pytest.mark.parametrize(
    ("uses", "settings", "exit_code"),
    [("wait", "seconds: 99", Exit.FAILED), ("set_key", "key: k, seconds: 99", Exit.COULD_NOT_RUN)],
    ids=["an observation that times out fails the drill", "an action that times out could not be run"],
)
def test_timeouts(drill, uses, settings, exit_code):
    played = drill(f"{FAULT}\n{{id: slow, uses: {uses}, timeout: 10s, with: {{{settings}}}}}")
    report = played.play()
    assert outcomes(report)["slow"] == "timed_out"
    assert report.duration_s == pytest.approx(10, abs=0.1)
    assert report.exit == exit_code
    assert played.world == {}


@pytest.mark.guarantee("G5")
def test_a_retry_undoes_the_failed_attempt_first(drill):
    played = drill(
        f"""{FAULT}
        {{id: again, uses: set_key, retry: {{attempts: 3, backoff: 1s}}, with: {{key: k, fail: retry}}}}"""
    )
    report = played.play()
    assert report.steps[1].attempts == 3
    tries = [(undo.describe, undo.tries[0].by) for undo in report.undos if undo.step == "again"]
    assert tries == [("restore k", "retry"), ("restore k", "retry"), ("restore k", "runner")]
    assert played.world == {}


@pytest.mark.guarantee("G8")
@pytest.mark.timer("engine/offbus/runner/scheduler.py")
def test_the_timeout_of_a_step_covers_all_attempts(drill):
    report = drill(
        "{id: again, uses: set_key, timeout: 5s, retry: {attempts: 99, backoff: 1s}, with: {key: k, fail: retry}}"
    ).play()
    assert outcomes(report) == {"again": "timed_out"}
    assert report.duration_s == pytest.approx(5, abs=0.1)


@pytest.mark.guarantee("G8")
@pytest.mark.timer("engine/offbus/runner/step_runner.py")
def test_the_pause_before_a_retry_doubles_and_is_as_long_as_the_error_asks(drill):
    """The step asks for 2 s each time."""
    played = drill(
        f"{FAULT}\n{{id: again, uses: set_key, retry: {{attempts: 5, backoff: 1s}}, with: {{key: k, fail: retry}}}}"
    )
    played.play()
    ended = [event["data"]["again_in_s"] for event in played.events if event["kind"] == "attempt_ended"]
    begun = [
        e["mono_ns"] / 1e9 for e in played.events if e["kind"] == "step_started" and e["step"] == "again"
    ]
    assert ended == [2.0, 2.0, 4.0, 8.0]
    assert [after - before for before, after in pairwise(begun)] == pytest.approx(ended, abs=0.01)


def test_when_false_skips_and_counts_as_passed(drill):
    report = drill(
        f"""{FAULT}
        {{id: maybe, uses: wait, when: "inputs.wanted", with: {{seconds: 1}}}}
        {{id: then, uses: wait, with: {{seconds: 1}}}}""",
        head="inputs: {wanted: {type: boolean, default: false}}",
    ).play()
    assert outcomes(report) == {"fault": "passed", "maybe": "skipped", "then": "passed"}
    assert report.verdict == "passed"


def test_an_always_step_waits_for_those_behind_the_steps_that_it_needs(drill):
    """`main` runs before `slow`, which it needs; `last` needs `main`, and may undo what `slow` does."""
    played = drill(
        """{id: first, uses: wait, always: true, with: {seconds: 1}}
        {id: slow, uses: set_key, always: true, with: {key: slow, seconds: 5}}
        {id: main, uses: wait, needs: [slow], with: {seconds: 1}}
        {id: last, uses: cleanup, always: true, needs: [main], with: {steps: [slow]}}"""
    )
    report = played.play()
    assert outcomes(report) == dict.fromkeys(("first", "slow", "main", "last"), "passed")
    undone = next(e["seq"] for e in played.events if e["kind"] == "undo_started")
    assert ended(played, "main") < ended(played, "slow") < undone < ended(played, "last")
    assert played.world == {}


def test_always_steps_run_after_a_failure_and_before_the_undo(drill):
    played = drill(
        f"""{FAULT}
        {{id: bad, uses: set_key, with: {{key: k, fail: failed}}}}
        {{id: collect, uses: wait, always: true, needs: [bad], with: {{seconds: 3}}}}"""
    )
    report = played.play()
    assert outcomes(report)["collect"] == "passed"
    undone = next(e["seq"] for e in played.events if e["kind"] == "undo_started")
    assert ended(played, "bad") < ended(played, "collect") < undone


@pytest.mark.guarantee("G8")
@pytest.mark.timer("engine/offbus/runner/session.py")
def test_the_run_times_out_and_undoes(drill):
    played = drill(f"{FAULT}\n{{id: slow, uses: wait, with: {{seconds: 99}}}}", head="timeout: 30s")
    report = played.play()
    assert report.exit == Exit.COULD_NOT_RUN
    assert "did not end within 30 s" in report.reasons[0]
    assert played.world == {}


def test_outputs_of_a_step_reach_later_params_and_expectations(drill):
    report = drill(
        """{id: fault, uses: set_key, with: {key: f, fault: true}, expect: ["outputs.share == 0.5"]}
        {id: more, uses: set_key, with: {key: "${{ steps.fault.outputs.key }}2"}, expect: ["outputs.key == 'f2'"]}"""
    ).play()
    assert report.verdict == "passed"
    assert report.steps[1].expectations[0].result == "true"


def test_an_expectation_on_an_output_that_was_never_set_is_an_error_not_false(drill):
    report = drill(
        """{id: fault, uses: set_key, with: {key: f, fault: true}, expect: ["outputs.late != 'x'"]}"""
    ).play()
    assert report.exit == Exit.FAILED
    assert report.steps[0].expectations[0].result == "error"


@pytest.mark.parametrize("padding", [0, 400], ids=["short", "long"])
def test_why_an_expectation_has_no_value_does_not_repeat_it(drill, padding):
    """However long it is."""
    text = f"1 / (outputs.count - outputs.count) == 1{' ' * padding} || false"
    report = drill(f'{{id: one, uses: set_key, with: {{key: a}}, expect: ["{text}"]}}').play()
    (judged,) = report.steps[0].expectations
    assert (judged.text, judged.result, judged.detail) == (text, "error", "divide by zero")


def test_a_step_that_returns_the_wrong_outputs_is_a_bug(drill):
    report = drill("{id: bad, uses: set_key, with: {key: k, fail: bug}}").play()
    assert report.reasons[0].startswith("step bad") or "bug" in report.reasons[0]
    assert any("ZeroDivisionError" in reason for reason in report.reasons)
