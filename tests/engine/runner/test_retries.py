"""`retry.on`: which outcomes are tried again, and an unmet `expect` among them."""

import pytest

from offbus.findings.invalid_scenario import InvalidScenario
from offbus.language.load import load_scenario
from tests.kits.engine.player import outcomes
from tests.kits.engine.world_steps import REGISTRY

FAULT = "{id: fault, uses: set_key, with: {key: f, fault: true, undo: disarm}}"


def kinds(drill, step, *wanted):
    return [event["kind"] for event in drill.events if event.get("step") == step and event["kind"] in wanted]


def test_an_unmet_expectation_is_tried_again_after_the_attempt_was_undone(drill):
    played = drill(
        f"{FAULT}\n{{id: a, uses: set_key, with: {{key: k, value: x}}, retry: {{attempts: 3, on: [failed]}}, "
        "expect: ['outputs.count == 4']}"
    )
    report = played.play()
    assert outcomes(report)["a"] == "failed"
    attempt = ["step_started", "expectation", "attempt_ended", "undo_started", "undo_ended"]
    assert kinds(played, "a", *attempt, "step_ended") == [
        *attempt, *attempt, "step_started", "expectation", "step_ended", "undo_started", "undo_ended",
    ]  # fmt: skip
    (step,) = [one for one in report.steps if one.id == "a"]
    assert (step.attempts, [one.result for one in step.expectations]) == (3, ["false"])
    ended = [event["data"]["message"] for event in played.events if event["kind"] == "attempt_ended"]
    assert ended == ["expected outputs.count == 4, but outputs.count is 3"] * 2
    assert played.world == {}


def test_what_an_earlier_attempt_was_expected_does_not_fail_the_step(drill):
    """The first attempt ends between two measurements, the second after both."""
    played = drill(
        f"{FAULT}\n{{id: m, uses: measure, with: {{levels: [1.0, 2.0], every: 10}}}}\n"
        "{id: a, uses: wait, needs: [fault], with: {seconds: 12}, retry: {attempts: 3, backoff: 1s, on: [failed]}, "
        "expect: ['metrics.level == 2.0']}"
    )
    report = played.play()
    (step,) = [one for one in report.steps if one.id == "a"]
    assert report.verdict == "passed", report.reasons
    assert [one.result for one in step.expectations] == ["true"]


@pytest.mark.parametrize(
    ("on", "ending", "attempts"),
    [
        ("", "failed", 3),
        ("", "errored", 3),
        (", on: [failed]", "failed", 3),
        (", on: [failed]", "errored", 1),
        (", on: [errored]", "failed", 1),
        (", on: [errored]", "errored", 3),
    ],
)
def test_only_the_outcomes_that_are_named_are_tried_again(drill, on, ending, attempts):
    report = drill(
        f"{FAULT}\n{{id: a, uses: set_key, with: {{key: k, fail: {ending}}}, retry: {{attempts: 3{on}}}}}"
    ).play()
    assert next(one.attempts for one in report.steps if one.id == "a") == attempts


@pytest.mark.parametrize("on", ["", ", on: [errored]"])
def test_an_unmet_expectation_alone_is_tried_again_only_where_that_is_said(drill, on):
    report = drill(
        f"{FAULT}\n{{id: a, uses: wait, with: {{seconds: 1}}, retry: {{attempts: 3{on}}}, expect: ['1 == 2']}}"
    ).play()
    assert next((one.outcome, one.attempts) for one in report.steps if one.id == "a") == ("failed", 1)


def test_a_background_step_is_judged_once(tmp_path):
    source = tmp_path / "drill.yaml"
    step = "{id: a, uses: watch, background: true, retry: {attempts: 2, on: [failed]}}"
    source.write_text(f"offbus: 1\nname: x\nenvironment: {{uses: world, path: x}}\nsteps:\n  - {step}\n")
    with pytest.raises(InvalidScenario, match=r"drill\.yaml:5:.*OB309: a background step is judged when"):
        load_scenario(source, registry=REGISTRY)
