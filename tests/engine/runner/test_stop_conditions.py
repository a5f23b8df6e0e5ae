"""`stop_when`: conditions over live metrics, with their timers on virtual time."""

import pytest

from offbus.exits import Exit
from offbus.findings.invalid_scenario import InvalidScenario
from offbus.language.load import load_scenario
from tests.kits.engine.player import outcomes
from tests.kits.engine.world_steps import REGISTRY

FAULT = "{id: fault, uses: set_key, with: {key: f, fault: true, undo: disarm}}"


def seconds(event):
    return event["mono_ns"] / 1e9


def first(drill, kind, **wanted):
    return next(
        e for e in drill.events if e["kind"] == kind and all(e["data"].get(k) == v for k, v in wanted.items())
    )


STOP = 'stop_when: [{{expr: "metrics.level < 0.5", for: {hold}}}]'
LEVELS = "{{id: measure, uses: measure, with: {{levels: {levels}, every: 10}}}}"


@pytest.mark.guarantee("G9")
@pytest.mark.timer("engine/offbus/runner/stop_conditions.py")
@pytest.mark.parametrize(
    ("levels", "hold", "stops_at"),
    [
        ([1.0, 0.4, 0.4, 0.4, 0.4, 0.4], "30s", 50.0),
        ([1.0, 0.4, 0.9, 0.4, 0.4, 0.4, 0.4, 0.4], "30s", 70.0),
        ([1.0, 0.4, 0.4], "0s", 20.0),
        ([1.0, 0.4, 0.9, 0.4, 0.9], "30s", None),
        ([0.5, 0.6], "0s", None),
    ],
    ids=["held for 30 s", "a break begins anew", "at once", "never held for long", "never true"],
)
def test_a_stop_condition_stops_when_it_has_held(drill, levels, hold, stops_at):
    played = drill(f"{FAULT}\n{LEVELS.format(levels=levels)}", head=STOP.format(hold=hold))
    report = played.play()
    if stops_at is None:
        assert report.verdict == "passed"
        return
    stopped = first(played, "stopped")
    assert seconds(stopped) == pytest.approx(stops_at, abs=0.01)
    assert stopped["data"]["reason"].startswith("stop condition: metrics.level < 0.5")
    assert report.exit == Exit.COULD_NOT_RUN
    assert report.reasons[0] == stopped["data"]["reason"]
    assert outcomes(report)["measure"] == "cancelled"
    assert played.world == {}


def test_a_stop_condition_that_cannot_be_evaluated_stops_nothing(drill):
    head = 'stop_when: [{expr: "1 / int(metrics.level) > 5"}]'
    assert drill(f"{FAULT}\n{LEVELS.format(levels=[0.0, 1.0])}", head=head).play().verdict == "passed"


@pytest.mark.parametrize(
    ("condition", "code"),
    [
        ('{expr: "metrics.levle < 0.5"}', "OB402"),
        ('{expr: "metrics.level"}', "OB406"),
        ('{expr: "metrics.level < 1"}', "OB4"),
        ('{expr: "1 == 1"}', "OB402"),
        ('{expr: "metrics.level < 0.5", for: soon}', "OB205"),
        ("{expr: \"steps.fault.outcome == 'failed'\"}", "OB4"),
        ('{exp: "metrics.level < 0.5"}', "OB2"),
        ('"metrics.level < 0.5"', "OB2"),
    ],
    ids=[
        "unknown",
        "no condition",
        "wrong type",
        "no metric",
        "no duration",
        "a step",
        "a key",
        "no mapping",
    ],
)
def test_a_wrong_stop_condition_is_a_finding(tmp_path, condition, code):
    source = tmp_path / "scenario.yaml"
    source.write_text(
        f"offbus: 1\nname: drill\nenvironment: {{uses: world}}\nstop_when: [{condition}]\n"
        "steps:\n  - {id: fault, uses: measure, with: {levels: [1.0]}}\n"
    )
    with pytest.raises(InvalidScenario) as caught:
        load_scenario(source, registry=REGISTRY)
    found = caught.value.findings
    assert any(one.code.startswith(code) and one.where.line == 4 for one in found), found
