"""What a valid file becomes: order, defaults, inputs, environment, guards."""

from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from offbus.errors import UsageError
from offbus.findings.invalid_scenario import InvalidScenario
from offbus.language.cel.scope import Scope
from offbus.language.load import load_scenario
from offbus.language.scenario import Retry
from tests.kits.language.drill_types import LocalGuards, LocalOptions, drill, findings, load, registry

WHOLE = """\
offbus: 1
name: xid79
summary: A GPU falls off the bus.
inputs:
  xid: {type: integer, default: 79}
  backend: {type: string, default: vllm, enum: [vllm, sglang]}
environment: {uses: local, nodes: 4}
guards: {namespaces: ["drill-*"]}
timeout: 20m
undo_timeout: 90s
steps:
  - {id: deploy, uses: deploy, with: {manifest: "targets/${{ inputs.backend }}.yaml"}, timeout: 1h}
  - {id: traffic, uses: load, background: true, with: {rate: 20}}
  - {id: baseline, uses: ask, expect: ["outputs.success_rate >= 0.99"]}
  - {id: inject, uses: inject, with: {xid: "${{ inputs.xid }}"}, retry: {attempts: 3, backoff: 5s}}
  - {id: cordon, uses: await_cordon, keep_going: true, when: steps.inject.outcome == 'passed'}
  - {id: heal, uses: cleanup, always: true, with: {steps: [inject]}}
expect:
  - metrics.time_to_cordon < duration("60s")
  - metrics.requests.success_rate >= 0.90
"""


def test_a_whole_scenario(tmp_path: Path) -> None:
    scenario = load(tmp_path, WHOLE)
    assert (scenario.name, scenario.summary, scenario.format) == ("xid79", "A GPU falls off the bus.", 1)
    assert scenario.inputs == {"xid": 79, "backend": "vllm"}
    assert (scenario.env_name, scenario.environment.options) == ("local", LocalOptions(nodes=4))
    assert scenario.guards == LocalGuards(namespaces=["drill-*"])
    assert (scenario.timeout, scenario.undo_timeout) == (timedelta(minutes=20), timedelta(seconds=90))
    assert [expectation.text for expectation in scenario.expect] == [
        'metrics.time_to_cordon < duration("60s")',
        "metrics.requests.success_rate >= 0.90",
    ]
    assert scenario.path == tmp_path / "drill.yaml"
    assert scenario.digest == sha256(WHOLE.encode()).hexdigest()
    assert scenario.warnings == ()
    steps = {step.id: step for step in scenario.steps}
    assert list(steps) == ["deploy", "traffic", "baseline", "inject", "cordon", "heal"]
    assert (steps["deploy"].timeout, steps["inject"].timeout) == (timedelta(hours=1), timedelta(minutes=5))
    assert steps["inject"].retry == Retry(3, timedelta(seconds=5))
    assert steps["deploy"].retry == Retry(1, timedelta(0))
    assert (steps["cordon"].keep_going, steps["heal"].always, steps["traffic"].background) == (
        True,
        True,
        True,
    )
    assert (steps["cordon"].position.line, steps["cordon"].position.column) == (16, 6)
    assert steps["deploy"].params.static is not None
    assert steps["deploy"].params.static.model_dump()["manifest"] == "targets/vllm.yaml"


def test_what_is_left_out_has_its_default(tmp_path: Path) -> None:
    scenario = load(tmp_path, drill("{id: a, uses: deploy}"))
    assert (scenario.timeout, scenario.undo_timeout) == (timedelta(minutes=30), timedelta(minutes=5))
    assert (scenario.env_name, scenario.environment.options, scenario.guards) == (
        "local",
        LocalOptions(),
        LocalGuards(),
    )
    (step,) = scenario.steps
    assert (step.needs, step.timeout, step.when, step.expect) == ((), timedelta(minutes=10), None, ())


NEEDS = {
    "a list is a sequence": (
        "{id: a, uses: ask}\n{id: b, uses: ask}\n{id: c, uses: ask}",
        {"a": (), "b": ("a",), "c": ("b",)},
    ),
    "a background step is passed over": (
        "{id: a, uses: ask}\n{id: b, uses: load, background: true}\n{id: c, uses: ask}",
        {"a": (), "b": ("a",), "c": ("a",)},
    ),
    "an always step keeps its place": (
        "{id: a, uses: ask}\n{id: b, uses: ask, always: true}\n{id: c, uses: ask}",
        {"a": (), "b": ("a",), "c": ("b",)},
    ),
    "nothing starts at once": (
        "{id: a, uses: ask}\n{id: b, uses: ask, needs: []}\n{id: c, uses: ask}",
        {"a": (), "b": (), "c": ("b",)},
    ),
    "a join": (
        "{id: a, uses: ask, needs: []}\n{id: b, uses: ask, needs: []}\n{id: c, uses: ask, needs: [a, b]}",
        {"a": (), "b": (), "c": ("a", "b")},
    ),
    "a step below": ("{id: a, uses: ask, needs: [b]}\n{id: b, uses: ask, needs: []}", {"a": ("b",), "b": ()}),
    "repeats count once": ("{id: a, uses: ask}\n{id: b, uses: ask, needs: [a, a]}", {"a": (), "b": ("a",)}),
    "first of all a background step": (
        "{id: a, uses: load, background: true}\n{id: b, uses: ask}",
        {"a": (), "b": ()},
    ),
}


@pytest.mark.parametrize(("steps", "needs"), NEEDS.values(), ids=NEEDS.keys())
def test_needs(tmp_path: Path, steps: str, needs: dict[str, tuple[str, ...]]) -> None:
    assert {step.id: step.needs for step in load(tmp_path, drill(steps)).steps} == needs


INPUTS = """\
inputs:
  text: {type: string, default: a}
  count: {type: integer, default: 1}
  share: {type: number, default: 1}
  on_off: {type: boolean, default: true}
  pause: {type: duration, default: 90s}
"""


def test_inputs_have_their_declared_types(tmp_path: Path) -> None:
    inputs = load(tmp_path, drill("{id: a, uses: ask}", INPUTS)).inputs
    assert inputs == {"text": "a", "count": 1, "share": 1.0, "on_off": True, "pause": timedelta(seconds=90)}
    assert isinstance(inputs["share"], float)


def test_what_is_set_is_read_by_the_declared_type(tmp_path: Path) -> None:
    sets = {"text": "42", "count": "0x10", "share": "0.5", "on_off": "false", "pause": "1h"}
    inputs = load(tmp_path, drill("{id: a, uses: ask}", INPUTS), sets=sets).inputs
    assert inputs == {"text": "42", "count": 16, "share": 0.5, "on_off": False, "pause": timedelta(hours=1)}


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("count", "1.5", "'1.5' is not an integer"),
        ("share", "half", "'half' is not a number"),
        ("share", "nan", "is not a finite number"),
        ("on_off", "yes", "'yes' is not a boolean; write true or false"),
        ("pause", "90", "not a duration"),
    ],
    ids=["integer", "number", "not finite", "boolean", "duration"],
)
def test_what_is_set_and_does_not_fit(tmp_path: Path, name: str, text: str, says: str) -> None:
    (finding,) = findings(tmp_path, drill("{id: a, uses: ask}", INPUTS), sets={name: text})
    assert (finding.code, str(finding.where)) == ("OB505", f"--set {name}={text}")
    assert says in finding.message


def test_a_required_input_can_be_set(tmp_path: Path) -> None:
    text = drill('{id: a, uses: ask, with: {node: "${{ inputs.node }}"}}', "inputs: {node: {type: string}}\n")
    assert load(tmp_path, text, sets={"node": "n1"}).inputs == {"node": "n1"}


FAR = "environment: {uses: far, context: prod}\nguards: {owner: me}\n"


def test_env_replaces_the_environment_and_drops_its_options(tmp_path: Path) -> None:
    scenario = load(
        tmp_path, drill("{id: a, uses: ask}", "environment: {uses: far, context: prod}\n"), env="local"
    )
    assert (scenario.env_name, scenario.environment.options) == ("local", LocalOptions())


def test_env_of_the_same_name_keeps_the_options(tmp_path: Path) -> None:
    assert load(tmp_path, drill("{id: a, uses: ask}", FAR), env="far").environment.options.model_dump() == {
        "context": "prod"
    }


def test_env_set_overrides_an_option_and_is_read_by_its_type(tmp_path: Path) -> None:
    header = "environment: {uses: local, nodes: 4, label: x}\n"
    options = load(
        tmp_path, drill("{id: a, uses: ask}", header), env_sets={"nodes": "2", "label": "7"}
    ).environment.options
    assert options == LocalOptions(nodes=2, label="7")


def test_env_set_that_does_not_fit(tmp_path: Path) -> None:
    (finding,) = findings(tmp_path, drill("{id: a, uses: ask}"), env_sets={"nodes": "many"})
    assert (finding.code, str(finding.where)) == ("OB204", "--env-set nodes=many")


def test_env_that_does_not_exist(tmp_path: Path) -> None:
    (finding,) = findings(tmp_path, drill("{id: a, uses: ask}"), env="lokal")
    assert (finding.code, str(finding.where), finding.suggestion) == ("OB501", "--env lokal", "local")


def test_guards_of_another_environment_are_refused(tmp_path: Path) -> None:
    (finding,) = findings(tmp_path, drill("{id: a, uses: ask}", FAR), env="local")
    assert (finding.code, finding.where.line, finding.where.column) == ("OB503", 4, 10)


def test_options_and_guards_take_inputs(tmp_path: Path) -> None:
    header = (
        "inputs: {n: {type: integer, default: 5}, ns: {type: string, default: team}}\n"
        'environment: {uses: local, nodes: "${{ inputs.n }}"}\nguards: {namespaces: ["${{ inputs.ns }}-*"]}\n'
    )
    scenario = load(tmp_path, drill("{id: a, uses: ask}", header))
    assert (scenario.environment.options, scenario.guards) == (
        LocalOptions(nodes=5),
        LocalGuards(namespaces=["team-*"]),
    )


def test_every_finding_comes_at_once_sorted_by_place(tmp_path: Path) -> None:
    text = """\
offbus: 1
nam: x
timeout: soon
steps:
  - {id: a, uses: deplay, timeout: 3x}
  - {id: b, uses: ask, needs: [c], with: {rate: fast, env: {A: on}}}
  - {id: b, uses: ask, expect: ["outputs.success_rate == 1"]}
environment: {uses: lokal}
expect: ["metrics.x > 1", "true &&"]
"""
    found = findings(tmp_path, text)
    assert [(f.where.line, f.code) for f in found] == [
        (2, "OB202"),  # `nam` can only be the name, so that no name was set is no finding of its own
        (3, "OB205"),
        (5, "OB302"),
        (5, "OB205"),
        (6, "OB304"),
        (6, "OB203"),
        (6, "OB107"),
        (7, "OB301"),
        (7, "OB404"),
        (8, "OB501"),
        (9, "OB401"),
    ]


ONE_MISTAKE = {
    "an unknown type that may output what others need": (
        "{id: a, uses: deplay}\n{id: b, uses: inject, with: {xid: 1}}\n"
        '{id: c, uses: ask, when: steps.a.outputs.whatever > 3, with: {node: "${{ metrics.it_may_measure }}"}}'
    ),
    "an id that is not allowed": "{id: A, uses: deploy}\n{id: b, uses: inject, with: {xid: 1}}",
    "a broken param": (
        "{id: a, uses: deploy, with: {manifest: 1}}\n{id: b, uses: inject, with: {xid: 1}}\n"
        "{id: c, uses: cleanup, with: {steps: [a]}}"
    ),
    "a key twice": "{id: a, id: b, uses: deploy}\n{id: b, uses: inject, with: {xid: 1}}",
}


@pytest.mark.parametrize("steps", ONE_MISTAKE.values(), ids=ONE_MISTAKE.keys())
def test_one_mistake_is_one_finding(tmp_path: Path, steps: str) -> None:
    assert len(findings(tmp_path, drill(steps))) == 1


def test_a_broken_input_does_not_make_its_uses_unknown(tmp_path: Path) -> None:
    text = drill(
        '{id: a, uses: ask, with: {node: "${{ inputs.x }}"}, when: inputs.x == 3}',
        "inputs: {x: {type: int, default: 1}}\n",
    )
    assert [finding.code for finding in findings(tmp_path, text)] == ["OB204"]


def test_an_empty_file(tmp_path: Path) -> None:
    (finding,) = findings(tmp_path, "")
    assert (finding.code, finding.message) == ("OB114", "the file is empty, so it is not a scenario")


def test_a_byte_order_mark_and_windows_line_ends(tmp_path: Path) -> None:
    text = drill("{id: a, uses: deplay}").replace("\n", "\r\n")
    path = tmp_path / "drill.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    with pytest.raises(InvalidScenario) as caught:
        load_scenario(path, registry=registry())
    (finding,) = caught.value.findings
    assert (finding.where.line, finding.where.column, finding.frame) == (4, 19, "  - {id: a, uses: deplay}")


def test_an_alias_stands_for_its_value(tmp_path: Path) -> None:
    text = drill("{id: a, uses: ask, with: &w {rate: 2, env: {A: x}}}\n{id: b, uses: ask, with: *w}")
    first, second = load(tmp_path, text).steps
    assert first.params.static == second.params.static


@pytest.mark.parametrize("name", ["missing.yaml", ""], ids=["missing", "a folder"])
def test_a_file_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"no such file|cannot be read"):
        load_scenario(tmp_path / name)


def test_params_that_wait_for_nothing_need_no_scope(tmp_path: Path) -> None:
    (step,) = load(tmp_path, drill("{id: a, uses: ask, with: {rate: 2, size: 90s}}")).steps
    assert step.params.resolve(Scope()) is step.params.static
    assert step.params.static is not None
    assert step.params.static.model_dump()["size"] == timedelta(seconds=90)
