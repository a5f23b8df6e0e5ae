"""A run of a scenario that inlines another file: its steps are steps of the run, in the journal and in the report."""

from pathlib import Path

import pytest

from tests.kits.engine.player import outcomes

INNER = """\
offbus: 1
name: inner
inputs: {key: {type: string}, seconds: {type: number, default: 1.0}}
outputs: {key: steps.set.outputs.key}
steps:
  - {id: set, uses: set_key, with: {key: "${{ inputs.key }}", fault: true, undo: disarm}}
  - {id: wait, uses: wait, with: {seconds: "${{ inputs.seconds }}"}, expect: [outputs.waited < 3.0]}
expect: [steps.set.outputs.count == 3]
"""


@pytest.fixture(autouse=True)
def _inner(tmp_path: Path) -> None:
    (tmp_path / "inner.yaml").write_text(INNER)


def test_it_is_played_and_undone_as_if_it_were_written_there(drill):
    played = drill(
        """{id: a, uses: scenario, with: {file: inner.yaml, inputs: {key: k1}}}
        {id: same, uses: set_key, with: {key: "${{ steps.a.outputs.key + '2' }}"}}
        {id: b, uses: scenario, with: {file: inner.yaml, inputs: {key: "${{ steps.same.outputs.key }}"}}}
        {id: heal, uses: cleanup, with: {steps: [a]}}"""
    )
    report = played.play()
    assert report.verdict == "passed", report.reasons
    assert list(outcomes(report)) == ["a.set", "a.wait", "same", "b.set", "b.wait", "heal"]
    assert [one.text for one in report.expectations] == [
        "a: steps.set.outputs.count == 3",
        "b: steps.set.outputs.count == 3",
    ]
    undone = [event["step"] for event in played.events if event["kind"] == "undo_started"]
    assert undone == ["a.set", "b.set", "same"]
    assert played.world == {}


def test_a_step_of_it_that_fails_skips_what_needs_it(drill):
    report = drill(
        """{id: a, uses: scenario, with: {file: inner.yaml, inputs: {key: k1, seconds: 4}}}
        {id: after, uses: wait, with: {seconds: 1}}"""
    ).play()
    assert outcomes(report) == {"a.set": "passed", "a.wait": "failed", "after": "skipped"}
    assert report.verdict == "failed"


def test_when_it_is_not_wanted_what_needs_it_runs(drill):
    report = drill(
        """{id: f, uses: set_key, with: {key: f, fault: true, undo: disarm}}
        {id: a, uses: scenario, when: "steps.f.outputs.count > 3", with: {file: inner.yaml, inputs: {key: k1}}}
        {id: after, uses: wait, with: {seconds: 1}}"""
    ).play()
    assert outcomes(report) == {"f": "passed", "a.set": "skipped", "a.wait": "skipped", "after": "passed"}
    assert report.verdict == "passed", report.reasons
