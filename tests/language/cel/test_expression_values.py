"""What expressions are at run time; above all, that what was never set is an error and never false."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from offbus.errors import StepError, UsageError
from offbus.language.cel.expressions import EvaluationError, predicate
from offbus.language.cel.scope import Scope, StepState
from offbus.language.scenario import Step
from offbus.step import Outputs
from tests.kits.language.drill_types import (
    AskOutputs,
    DeployOutputs,
    InjectOutputs,
    InjectParams,
    Target,
    drill,
    load,
)

ABOVE = """\
{id: d, uses: deploy}
{id: i, uses: inject, with: {xid: 79}}
{id: l, uses: load, needs: [d], with: {hint: x}}
"""
HEADER = "inputs: {n: {type: integer, default: 3}, t: {type: duration, default: 90s}}\n"


def last(tmp_path: Path, step: str) -> Step:
    """The step below a deploy, an injection and some load."""
    return load(tmp_path, drill(f"{ABOVE}{step}", HEADER)).steps[-1]


def scope(own: Outputs | None = None, **changes: StepState) -> Scope:
    """A run in which everything was set."""
    target = Target(kind="Deployment", name="vllm", replicas=2)
    steps = {
        "d": StepState("passed", DeployOutputs(target=target, took=timedelta(seconds=70))),
        "i": StepState("passed", InjectOutputs(node="n1", gpus=["GPU-1", "GPU-2"])),
        "l": StepState("passed", AskOutputs()),
    }
    metrics = {"requests.success_rate": 0.5, "requests": 10}
    return Scope({"n": 3, "t": timedelta(seconds=90)}, {**steps, **changes}, own, metrics)


def evaluate(tmp_path: Path, text: str, at: Scope) -> bool:
    quoted = text.replace("'", "''")
    (expectation,) = last(tmp_path, f"{{id: x, uses: ask, needs: [d, i, l], expect: ['{quoted}']}}").expect
    return expectation.expression.evaluate(at)


PODS = [Target(kind="Pod", name="a"), Target(kind="Pod", name="b", replicas=1)]
OWN = AskOutputs(success_rate=1, ok=True, latency=timedelta(milliseconds=1500), pods=PODS, facts={"a": 1})
TRUE = [
    "outputs.success_rate == 1.0",
    "outputs.ok && !(outputs.success_rate < 0.5)",
    'outputs.latency < duration("2s") && outputs.latency > duration("1499ms")',
    "outputs.pods.exists(p, p.name == 'b' && p.replicas == 1)",
    "outputs.pods[0].replicas == null",
    "size(outputs.pods) == 2 && outputs.facts['a'] == 1 && outputs.facts.a == 1",
    "steps.d.outputs.target.name == 'vllm' && steps.d.outputs.target.replicas == 2",
    "steps.d.outputs.took > duration('1m')",
    "'GPU-2' in steps.i.outputs.gpus",
    "steps.d.outcome == 'passed'",
    "metrics.requests.success_rate == 0.5 && metrics.requests == 10",
    "inputs.n == 3 && inputs.t == duration('90s')",
    "inputs . n == 3 // a comment",
    "inputs.n > 2 ? outputs.ok : false",
]


@pytest.mark.parametrize("text", TRUE)
def test_true(tmp_path: Path, text: str) -> None:
    assert evaluate(tmp_path, text, scope(OWN)) is True


def test_false(tmp_path: Path) -> None:
    assert evaluate(tmp_path, "outputs.success_rate < 0.5", scope(OWN)) is False


UNSET = {
    "outputs.success_rate > 0.5": "outputs.success_rate was not set",
    "outputs.ok": "outputs.ok was not set",
    "!outputs.ok": "outputs.ok was not set",
    "outputs.ok && false": "outputs.ok was not set",
    "outputs.ok || true": "outputs.ok was not set",
    "(outputs.success_rate > 0.5 || true) && true": "outputs.success_rate was not set",
    "!(outputs.ok && false)": "outputs.ok was not set",
    "true && (outputs.ok || inputs.n == 3)": "outputs.ok was not set",
    "outputs.ok ? true : true": "outputs.ok was not set",
    "steps.d.outputs.target.name == 'x'": "steps.d.outputs.target.name was not set",
    "steps.i.outputs.node == ''": "step i is skipped and has no outputs",
    "steps.l.outcome == 'passed'": "step l has not ended",
}


@pytest.mark.parametrize(("text", "why"), UNSET.items(), ids=UNSET.keys())
def test_what_was_never_set_is_an_error(tmp_path: Path, text: str, why: str) -> None:
    steps = {"d": StepState("passed", DeployOutputs()), "i": StepState("skipped", None)}
    at = Scope({"n": 3, "t": timedelta(0)}, steps, AskOutputs(), {})
    with pytest.raises(EvaluationError) as caught:
        evaluate(tmp_path, text, at)
    assert why in caught.value.message
    assert caught.value.message.startswith(text)


def test_a_metric_that_was_never_measured_is_an_error(tmp_path: Path) -> None:
    (expectation,) = load(
        tmp_path, drill("{id: l, uses: load}", "expect: [metrics.requests.success_rate < 0.9]\n")
    ).expect
    with pytest.raises(EvaluationError, match=r"metrics\.requests\.success_rate was not measured"):
        expectation.expression.evaluate(Scope())


GUARDED = {
    "steps.i.outcome == 'passed' && steps.i.outputs.node == 'n1'": False,
    "steps.i.outcome != 'passed' || steps.i.outputs.node == 'n1'": True,
    "!(steps.i.outcome == 'passed') || (steps.i.outputs.node == 'n1' && true)": True,
    "steps.i.outcome == 'passed' ? steps.i.outputs.node == 'n1' : true": True,
}


@pytest.mark.parametrize(("text", "value"), GUARDED.items(), ids=GUARDED.keys())
def test_a_condition_to_the_left_guards_what_may_not_be_set(tmp_path: Path, text: str, value: bool) -> None:
    assert evaluate(tmp_path, text, scope(OWN, i=StepState("skipped", None))) is value


ERRORS = {
    "inputs.n / (inputs.n - 3) == 1": "divide by zero",
    "outputs.pods[7].name == 'x'": "index",
    "outputs.facts['b'] == 1": "key",
}


@pytest.mark.parametrize(("text", "why"), ERRORS.items(), ids=ERRORS.keys())
def test_an_error_of_evaluation_is_never_false(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(EvaluationError) as caught:
        evaluate(tmp_path, text, scope(OWN))
    assert why in caught.value.message.lower()


def test_a_metric_that_is_a_duration_may_come_in_seconds(tmp_path: Path) -> None:
    text = drill("{id: c, uses: await_cordon}", "expect: [\"metrics.time_to_cordon < duration('60s')\"]\n")
    (expectation,) = load(tmp_path, text).expect
    assert expectation.expression.evaluate(Scope(metrics={"time_to_cordon": 59.5}))
    assert not expectation.expression.evaluate(Scope(metrics={"time_to_cordon": timedelta(seconds=61)}))


def test_a_metric_of_another_type_is_an_error(tmp_path: Path) -> None:
    (expectation,) = load(
        tmp_path, drill("{id: l, uses: load}", "expect: [metrics.requests.success_rate < 0.9]\n")
    ).expect
    with pytest.raises(EvaluationError, match="which is not a double"):
        expectation.expression.evaluate(Scope(metrics={"requests.success_rate": "high"}))


def test_background_outputs_are_there_at_the_end(tmp_path: Path) -> None:
    text = drill(
        "{id: l, uses: load, background: true}\n{id: a, uses: ask}",
        "expect: [steps.l.outputs.success_rate > 0.9]\n",
    )
    (expectation,) = load(tmp_path, text).expect
    assert expectation.expression.evaluate(
        Scope(steps={"l": StepState("passed", AskOutputs(success_rate=1.0))})
    )


def resolved(tmp_path: Path, params: str, at: Scope) -> dict[str, Any]:
    return (
        last(tmp_path, f"{{id: x, uses: ask, needs: [d, i, l], with: {params}}}")
        .params.resolve(at)
        .model_dump()
    )


RESOLVES = {
    "a text": ('{node: "${{ steps.i.outputs.node }}"}', "node", "n1"),
    "inside a text": (
        '{node: "a-${{ steps.i.outputs.node }}-${{ inputs.n }}-${{ true }}-${{ steps.d.outputs.took }}"}',
        "node",
        "a-n1-3-true-1m10s",
    ),
    "a number": ('{rate: "${{ metrics.requests.success_rate * 4.0 }}"}', "rate", 2.0),
    "an integer for a double": ('{rate: "${{ metrics.requests }}"}', "rate", 10.0),
    "a duration": ('{size: "${{ steps.d.outputs.took }}"}', "size", timedelta(seconds=70)),
    "in a mapping": ('{env: {NODE: "${{ steps.i.outputs.node }}", B: c}}', "env", {"NODE": "n1", "B": "c"}),
    "braces and quotes in it": (
        """{node: "${{ {'a': {'b': '}}'}}['a']['b'] + steps.i.outputs.node }}"}""",
        "node",
        "}}n1",
    ),
    "a literal": ("""{node: "${{ '${{' }} ${{ steps.i.outputs.node }}"}""", "node", "${{ n1"),
    "from an ancestor": ("{}", "hint", "n1"),
    "the explicit value": ("{hint: mine}", "hint", "mine"),
}


@pytest.mark.parametrize(("params", "name", "value"), RESOLVES.values(), ids=RESOLVES.keys())
def test_params_are_resolved(tmp_path: Path, params: str, name: str, value: Any) -> None:
    assert resolved(tmp_path, params, scope())[name] == value


def test_an_optional_binding_that_was_not_set_keeps_the_default(tmp_path: Path) -> None:
    assert resolved(tmp_path, "{}", scope(i=StepState("skipped", None)))["hint"] is None


def test_a_whole_object_is_passed_on(tmp_path: Path) -> None:
    step = last(
        tmp_path,
        '{id: x, uses: inject, with: {xid: "${{ inputs.n }}", target: "${{ steps.d.outputs.target }}"}}',
    )
    params = step.params.resolve(scope())
    assert isinstance(params, InjectParams)
    assert (params.target, params.xid) == (Target(kind="Deployment", name="vllm", replicas=2), 3)


def test_a_binding_takes_the_object(tmp_path: Path) -> None:
    step = last(tmp_path, "{id: x, uses: inject, with: {xid: 3}}")
    assert [(binding.key, binding.step) for binding in step.params.bindings] == [("target", "d")]
    params = step.params.resolve(scope())
    assert isinstance(params, InjectParams)
    assert params.target == Target(kind="Deployment", name="vllm", replicas=2)


MISFITS = {
    "out of range": (
        '{id: x, uses: inject, with: {xid: "${{ metrics.requests * 100 }}"}}',
        "xid: Input should be less than or equal to 200",
    ),
    "not one of a few": (
        '{id: x, uses: inject, needs: [d, i], with: {xid: 1, planes: ["${{ steps.i.outputs.node }}"]}}',
        "planes.0: Input should be 'kernel'",
    ),
    "never set": (
        '{id: x, uses: ask, needs: [d, i], with: {node: "${{ steps.i.outputs.node }}"}}',
        "steps.i.outputs.node has no value: step i is failed",
    ),
    "a binding that was not set": (
        "{id: x, uses: inject, with: {xid: 1}}",
        "steps.d.outputs.target was not set",
    ),
}


@pytest.mark.parametrize(("step", "says"), MISFITS.values(), ids=MISFITS.keys())
def test_a_run_time_value_that_does_not_fit_is_a_step_error(tmp_path: Path, step: str, says: str) -> None:
    changes: dict[str, StepState] = {}
    if "never set" in says or "has no value" in says:
        changes = {"i": StepState("failed", None)}
    if "target was not set" in says:
        changes = {"d": StepState("passed", DeployOutputs())}
    with pytest.raises(StepError) as caught:
        last(tmp_path, step).params.resolve(scope(None, **changes))
    assert caught.value.message.startswith("params")
    assert says in caught.value.message


def test_a_predicate_over_named_variables() -> None:
    compiled = predicate("!node.cordoned && node.gpus > 1", {"node.cordoned": "bool", "node.gpus": "int"})
    assert compiled.evaluate({"node.cordoned": False, "node.gpus": 2})
    assert not compiled.evaluate({"node.cordoned": True})
    with pytest.raises(EvaluationError, match=r"node\.gpus was not set"):
        compiled.evaluate({"node.cordoned": False, "node.gpus": None})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("node.x", "there is no 'node.x'"),
        ("node.gpus", "must be true or false, not int"),
        ("1 +", "ends too early"),
        ("inputs.x", "no"),
    ],
    ids=["unknown", "no condition", "syntax", "a name of scenarios"],
)
def test_a_predicate_that_is_refused(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        predicate(text, {"node.gpus": "int"})


TEN = "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]"


@pytest.mark.parametrize(
    ("text", "value", "says"),
    [
        (
            f"{TEN}.all(a, {TEN}.all(b, {TEN}.all(c, {TEN}.all(d, {TEN}.all(e, a + n > 0)))))",
            1,
            "budget exceeded",
        ),
        ("n > 1", 2**63, "int"),
        ("n > 1", int("9" * 4000), "int"),
        ("n * 9223372036854775807 > 1", 5, "integer overflow"),
        ("n / 0 > 1", 5, "divide by zero"),
    ],
    ids=["loops", "65 bits", "4000 digits", "overflow", "zero"],
)
def test_what_cannot_be_computed_is_an_error_of_the_expression_and_no_bug(
    text: str, value: int, says: str
) -> None:
    with pytest.raises(EvaluationError, match=says):
        predicate(text, {"n": "int"}).evaluate({"n": value})


def test_a_text_that_is_no_text_is_an_error_of_the_expression() -> None:
    """Half a surrogate pair: JSON may hold one, CEL's library may not."""
    with pytest.raises(EvaluationError):
        predicate("s == 'a'", {"s": "string"}).evaluate({"s": "\ud800"})
