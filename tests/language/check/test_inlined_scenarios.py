# ruff: noqa: E501  (tables: one case a line)
"""`uses: scenario`: the steps of another file, in the graph as if they were written there."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offbus.findings.model import Finding
from offbus.language.cel.scope import Scope, StepState
from offbus.language.check import parts
from offbus.language.load import load_cells
from offbus.language.plan import make_plan
from offbus.language.scenario import Scenario, Step
from tests.kits.language.drill_types import AskOutputs, InjectOutputs, drill, findings, load, registry

INNER = drill(
    """{id: inject, uses: inject, with: {xid: "${{ inputs.xid }}", target: "${{ {'kind': 'a', 'name': 'b'} }}"}}
    {id: cordon, uses: await_cordon}""",
    "inputs: {xid: {type: integer}}\noutputs: {node: steps.inject.outputs.node}\n",
)
OUTER = """{id: before, uses: deploy}
{id: drill, uses: scenario, with: {file: parts/inner.yaml, inputs: {xid: 79}}}
{id: after, uses: ask, with: {node: "${{ steps.drill.outputs.node }}"}}"""


def write(tmp_path: Path, text: str = INNER, name: str = "inner.yaml") -> Path:
    path = tmp_path / "parts" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def needs(scenario: Scenario) -> dict[str, tuple[str, ...]]:
    return {step.id: step.needs for step in scenario.steps}


def step(scenario: Scenario, name: str) -> Step:
    return next(one for one in scenario.steps if one.id == name)


def only(found: tuple[Finding, ...]) -> Finding:
    assert len(found) == 1, "\n".join(f"{one.where}: {one.message}" for one in found)
    return found[0]


def test_its_steps_are_steps_of_the_run(tmp_path: Path) -> None:
    write(tmp_path)
    scenario = load(tmp_path, drill(OUTER))
    assert needs(scenario) == {
        "before": (),
        "drill.inject": ("before",),
        "drill.cordon": ("drill.inject",),
        "after": ("drill.cordon",),
    }
    inject = step(scenario, "drill.inject").params.resolve(Scope())
    assert inject.model_dump()["xid"] == 79
    states = {"drill.inject": StepState("passed", InjectOutputs(node="n1"))}
    assert step(scenario, "after").params.resolve(Scope(steps=states)).model_dump()["node"] == "n1"
    assert str(step(scenario, "drill.inject").position) == f"{tmp_path}/parts/inner.yaml:6:6"
    assert [one.step.id for one in make_plan(scenario).steps] == list(needs(scenario))


def test_the_digest_is_of_all_files(tmp_path: Path) -> None:
    inner = write(tmp_path)
    first = load(tmp_path, drill(OUTER)).digest
    inner.write_text(f"{INNER}# changed\n")
    assert load(tmp_path, drill(OUTER)).digest != first


def test_it_takes_what_its_ancestors_in_the_outer_file_output(tmp_path: Path) -> None:
    write(tmp_path, drill("{id: inject, uses: inject, with: {xid: 1}}"))
    scenario = load(
        tmp_path, drill("{id: a, uses: deploy}\n{id: b, uses: scenario, with: {file: parts/inner.yaml}}")
    )
    assert [one.step for one in step(scenario, "b.inject").params.bindings] == ["a"]


def test_an_input_may_wait_for_the_run(tmp_path: Path) -> None:
    inner = "inputs: {n: {type: string, enum: [n1, n2]}}\n"
    write(
        tmp_path,
        drill('{id: ask, uses: ask, when: \'inputs.n != "n2"\', with: {node: "${{ inputs.n }}"}}', inner),
    )
    outer = """{id: a, uses: inject, with: {xid: 1, target: "${{ {'kind': 'a', 'name': 'b'} }}"}}
    {id: b, uses: scenario, with: {file: parts/inner.yaml, inputs: {n: "${{ steps.a.outputs.node }}"}}}"""
    found = step(load(tmp_path, drill(outer)), "b.ask")
    assert found.when is not None
    for node, runs in (("n1", True), ("n2", False)):
        scope = Scope(steps={"a": StepState("passed", InjectOutputs(node=node))})
        assert found.when.evaluate(scope) is runs
        assert found.params.resolve(scope).model_dump()["node"] == node
    from offbus.language.cel.expressions import EvaluationError

    for node_ in ("n3", None):
        scope = Scope(steps={"a": StepState("passed", InjectOutputs(node=node_))})
        with pytest.raises(EvaluationError, match=r"n3|not set"):
            found.when.evaluate(scope)


def test_when_it_is_not_wanted_none_of_its_steps_runs_and_its_expectations_hold(tmp_path: Path) -> None:
    text = (
        drill('{id: ask, uses: ask, when: "1 == 1"}\n{id: again, uses: ask}')
        + "expect: [steps.ask.outputs.ok]\n"
    )
    write(tmp_path, text)
    scenario = load(
        tmp_path,
        drill(
            "{id: x, uses: scenario, when: inputs.wanted, with: {file: parts/inner.yaml}}",
            "inputs: {wanted: {type: boolean, default: false}}\n",
        ),
    )
    for one in scenario.steps:
        assert one.when is not None
        assert [one.when.evaluate(Scope(inputs={"wanted": on})) for on in (False, True)] == [False, True]
    (expected,) = scenario.expect
    assert expected.text == "x: steps.ask.outputs.ok"
    assert expected.expression.evaluate(Scope(inputs={"wanted": False}))
    ran = {"x.ask": StepState("passed", AskOutputs(ok=False))}
    assert not expected.expression.evaluate(Scope(inputs={"wanted": True}, steps=ran))


def test_an_output_may_be_a_model_or_a_part_of_one_and_pass_through_files(tmp_path: Path) -> None:
    write(
        tmp_path, drill("{id: d, uses: deploy}", "outputs: {target: steps.d.outputs.target}\n"), "deep.yaml"
    )
    write(
        tmp_path,
        drill(
            "{id: deep, uses: scenario, with: {file: deep.yaml}}", "outputs: {t: steps.deep.outputs.target}\n"
        ),
    )
    outer = """{id: a, uses: scenario, with: {file: parts/inner.yaml}}
    {id: i, uses: inject, when: 'steps.a.outputs.t.name == "b"', with: {xid: 1, target: "${{ steps.a.outputs.t }}"}}"""
    scenario = load(tmp_path, drill(outer))
    assert needs(scenario) == {"a.deep.d": (), "i": ("a.deep.d",)}
    when = step(scenario, "i").when
    assert when is not None
    assert [name.path for name in when.names] == ["steps.a.outputs.t.name"]
    found = only(findings(tmp_path, drill(outer.replace("t.name", "t.nam"))))
    assert found.code == "OB402"


def test_cleanup_names_steps_of_its_own_file_and_a_whole_file(tmp_path: Path) -> None:
    inner = drill("{id: a, uses: ask}\n{id: b, uses: ask}\n{id: heal, uses: cleanup, with: {steps: [a]}}")
    write(tmp_path, inner)
    outer = "{id: x, uses: scenario, with: {file: parts/inner.yaml}}\n{id: heal, uses: cleanup, with: {steps: [x]}}"
    scenario = load(tmp_path, drill(outer))
    undone = [
        step(scenario, name).params.resolve(Scope()).model_dump()["steps"] for name in ("x.heal", "heal")
    ]
    assert undone == [["x.a"], ["x.a", "x.b", "x.heal"]]
    found = only(findings(tmp_path, drill("{id: a, uses: ask}\n" + outer.replace("[x]", "[b]"))))
    assert (found.code, found.hint) == ("OB308", "ancestors: a, x")


def test_files_that_its_steps_read_are_beside_it(tmp_path: Path) -> None:
    write(tmp_path, drill("{id: r, uses: read, with: {file: note.txt}}"))
    outer = drill("{id: x, uses: scenario, with: {file: parts/inner.yaml}}")
    found = only(findings(tmp_path, outer))
    assert (found.code, str(found.where)) == ("OB310", f"{tmp_path}/parts/inner.yaml:4:38")
    write(tmp_path, "good", "note.txt")
    params = step(load(tmp_path, outer), "x.r").params.resolve(Scope())
    assert params.model_dump() == {"file": "parts/note.txt"}


def test_each_use_has_its_own_inputs_and_names(tmp_path: Path) -> None:
    text = drill(
        '{id: ask, uses: ask, with: {rate: "${{ inputs.rate }}", size: "${{ inputs.wait }}"}}',
        "inputs: {rate: {type: number, default: 1.0}, wait: {type: duration, default: 1s}}\n",
    )
    write(tmp_path, text)
    outer = """{id: a, uses: scenario, with: {file: parts/inner.yaml, inputs: {rate: 2, wait: "${{ inputs.rate }}"}}}
    {id: b, uses: scenario, with: {file: parts/inner.yaml}}
    {id: ask, uses: ask, with: {size: "${{ inputs.rate }}"}}"""
    scenario = load(tmp_path, drill(outer, "inputs: {rate: {type: duration, default: 7s}}\n"))
    rates = [one.params.resolve(Scope()).model_dump() for one in scenario.steps]
    assert [(one["rate"], one["size"]) for one in rates] == [
        (2.0, timedelta(seconds=7)),
        (1.0, timedelta(seconds=1)),
        (1.0, timedelta(seconds=7)),
    ]


MISTAKES: dict[str, tuple[str, str, str, str]] = {
    "no such file": ("{id: x, uses: scenario, with: {file: ⟦no.yaml⟧}}", INNER, "OB310", "no such file"),
    "outside": ("{id: x, uses: scenario, with: {file: ⟦../x.yaml⟧}}", INNER, "OB310", "outside of the folder"),
    "absolute": ("{id: x, uses: scenario, with: {file: ⟦/etc/passwd⟧}}", INNER, "OB310", "outside of the folder"),
    "a folder": ("{id: x, uses: scenario, with: {file: ⟦parts⟧}}", INNER, "OB310", "it is a folder"),
    "nul": ('{id: x, uses: scenario, with: {file: ⟦"a\\0b"⟧}}', INNER, "OB310", "no file can have"),
    "long": ('{id: x, uses: scenario, with: {file: ⟦%s⟧}}' % ("a" * 5000), INNER, "OB310", "5000 characters"),
    "itself": ("{id: x, uses: scenario, with: {file: ⟦drill.yaml⟧}}", INNER, "OB310", "inlines itself: drill.yaml → drill.yaml"),
    "template": ('{id: x, uses: scenario, with: {file: ⟦"${{ inputs.a }}"⟧}}', INNER, "OB310", "without ${{ }}"),
    "no with": ("{id: x, uses: ⟦scenario⟧}", INNER, "OB201", "names no file"),
    "no file": ("{id: x, uses: ⟦scenario⟧, with: {inputs: {}}}", INNER, "OB201", "file"),
    "unknown key": ("{id: x, uses: scenario, with: {file: parts/inner.yaml, ⟦input⟧: {xid: 1}}}", INNER, "OB202", "input"),
    "unknown input": ("{id: x, uses: scenario, with: {file: parts/inner.yaml, inputs: {xid: 1, ⟦xdi⟧: 1}}}", INNER, "OB504", "'xdi'"),
    "missing input": ("{id: x, uses: scenario, with: ⟦{⟧file: parts/inner.yaml}}", INNER, "OB506", "inner.yaml has no value"),
    "wrong input": ("{id: x, uses: scenario, with: {file: parts/inner.yaml, inputs: {xid: ⟦a⟧}}}", INNER, "OB505", "'a' is not of type integer"),
    "wrong type": ('{id: a, uses: inject, with: {xid: 1, target: "${{ {\'kind\': \'a\', \'name\': \'b\'} }}"}}\n{id: x, uses: scenario, with: {file: parts/inner.yaml, inputs: {xid: ⟦"${{ steps.a.outputs.node }}"⟧}}}', INNER, "OB407", "is int, and this is string"),
    "background": ("{id: x, uses: scenario, ⟦background⟧: true, with: {file: parts/inner.yaml, inputs: {xid: 1}}}", INNER, "OB309", "no `background`"),
    "no output": (OUTER.replace('"${{ steps.drill.outputs.node }}"', "\"${{ ⟦steps.drill.outputs.nod⟧ }}\""), INNER, "OB402", "steps.drill.outputs.nod"),
    "inner id": (OUTER.replace("steps.drill.outputs.node", "⟦steps.inject.outputs.node⟧"), INNER, "OB402", "there is no step 'inject'"),
    "outcome": (OUTER.replace("steps.drill.outputs.node", "⟦steps.drill.outcome⟧"), INNER, "OB402", "no outcome of its own"),
    "too early": ('{id: a, uses: ask, with: {node: "${{ ⟦steps.b.outputs.node⟧ }}"}}\n{id: b, uses: scenario, with: {file: parts/inner.yaml, inputs: {xid: 1}}}', INNER, "OB405", "'b' is not an ancestor of step 'a'"),
    "cycle": ("{id: a, uses: ask, needs: [⟦b⟧]}\n{id: b, uses: scenario, with: {file: parts/inner.yaml, inputs: {xid: 1}}}", INNER, "OB305", "a → b.cordon → b.inject → a"),
}  # fmt: skip
INNER_MISTAKES: dict[str, tuple[str, str, str]] = {
    "not a scenario": ("⟦name⟧: x\n", "OB200", "format version"),
    "guards": (f"⟦guards⟧: {{max_cordoned_nodes: 9}}\n{INNER}", "OB311", "of the whole run"),
    "environment": (f"⟦environment⟧: {{uses: far}}\n{INNER}", "OB311", "environment is of the whole run"),
    "timeout": (f"⟦timeout⟧: 1h\n{INNER}", "OB311", "timeout"),
    "stop_when": (f"⟦stop_when⟧: [{{expr: metrics.requests > 1}}]\n{INNER}", "OB311", "stop_when"),
    "matrix": (f"⟦matrix⟧: {{xid: [1]}}\n{INNER}", "OB311", "matrix"),
    "step": (INNER.replace("await_cordon", "⟦await_cordn⟧"), "OB302", "await_cordn"),
    "outer name": (INNER.replace("{id: cordon,", "{id: cordon, when: ⟦steps.before.outcome⟧ == 'passed',"), "OB402", "no step 'before'"),
    "outer input": (INNER.replace("inputs.xid", "⟦inputs.xdi⟧"), "OB402", "inputs.xdi"),
    "output of no step": (INNER.replace("steps.inject.outputs.node", "⟦steps.ijnect.outputs.node⟧"), "OB402", "no step 'ijnect'"),
    "output of nothing": (INNER.replace("steps.inject.outputs.node", "⟦1 + 1⟧"), "OB312", "the name of an output"),
    "outcome as output": (INNER.replace("steps.inject.outputs.node", "⟦steps.inject.outcome⟧"), "OB312", "the name of an output"),
    "name of an output": (INNER.replace("{node:", "{node: steps.inject.outputs.node, ⟦No-de⟧:"), "OB206", "'No-de'"),
    "expectation": (INNER + "expect: [⟦metrics.time⟧ > 1]\n", "OB402", "metrics.time"),
    "itself": (INNER.replace("{id: cordon, uses: await_cordon}", "{id: x, uses: scenario, with: {file: ⟦inner.yaml⟧}}"), "OB310", "inner.yaml → inner.yaml"),
    "the outer one": (INNER.replace("{id: cordon, uses: await_cordon}", "{id: x, uses: scenario, with: {file: ⟦../drill.yaml⟧}}"), "OB310", "drill.yaml → inner.yaml → drill.yaml"),
    "yaml": (INNER.replace("[kernel]", "x") + "⟦\t⟧x: 1\n", "OB104", "a tab"),
    "list": ("⟦-⟧ a\n", "", "is not a mapping"),
}  # fmt: skip


def at_mark(text: str) -> tuple[str, int, int]:
    before, _, rest = text.partition("⟦")
    marked, _, after = rest.partition("⟧")
    return before + marked + after, before.count("\n") + 1, len(before.rpartition("\n")[2]) + 1


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_of_the_outer_file_is_found_there(tmp_path: Path, name: str) -> None:
    steps, inner, code, says = MISTAKES[name]
    write(tmp_path, inner)
    text, line, column = at_mark(drill(steps))
    found = only(findings(tmp_path, text))
    assert (found.code, str(found.where)) == (code, f"{tmp_path}/drill.yaml:{line}:{column}"), found
    assert says in found.message
    assert found.frame == text.split("\n")[line - 1]


@pytest.mark.parametrize("name", INNER_MISTAKES)
def test_a_mistake_of_the_inlined_file_is_found_there(tmp_path: Path, name: str) -> None:
    inner, code, says = INNER_MISTAKES[name]
    text, line, column = at_mark(inner)
    path = write(tmp_path, text)
    outer = drill(
        "{id: before, uses: deploy}\n{id: x, uses: scenario, with: {file: parts/inner.yaml, inputs: {xid: 1}}}"
    )
    found = only(findings(tmp_path, outer))
    assert says in found.message
    if code:
        assert (found.code, str(found.where)) == (code, f"{path}:{line}:{column}"), found
        # What does not say that it is a scenario may be anything.
        assert found.frame == (None if name == "not a scenario" else text.split("\n")[line - 1])


def test_a_link_that_leads_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "secret.yaml").write_text(INNER)
    (inside / "link.yaml").symlink_to(tmp_path / "secret.yaml")
    (inside / "loop.yaml").symlink_to(inside / "loop.yaml")
    for name, says in (("link.yaml", "outside of the folder"), ("loop.yaml", "loop.yaml")):
        found = only(findings(inside, drill(f"{{id: x, uses: scenario, with: {{file: {name}}}}}")))
        assert (found.code, says in found.message) == ("OB310", True), found


def test_depth_number_and_size_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(12):
        more = f"{{id: x, uses: scenario, with: {{file: f{n + 1}.yaml}}}}\n" * (n < 11)
        write(tmp_path, drill(f"{{id: a, uses: ask}}\n{more}"), f"f{n}.yaml")
    deep = only(findings(tmp_path, drill("{id: x, uses: scenario, with: {file: parts/f0.yaml}}")))
    assert "more than 8 deep" in deep.message
    wide = "".join(
        f"{{id: x{n}, uses: scenario, with: {{file: parts/f11.yaml}}}}\n" for n in range(parts.MOST_FILES + 1)
    )
    assert "more than 256 steps inline" in only(findings(tmp_path, drill(wide))).message
    monkeypatch.setattr(parts, "LARGEST", 10)
    large = only(findings(tmp_path, drill("{id: x, uses: scenario, with: {file: parts/f11.yaml}}")))
    assert "MiB together" in large.message


def test_last_steps_times_first_steps_are_bounded(tmp_path: Path) -> None:
    """400 steps that end one file, and 400 that begin the next: 160,000 needs."""
    write(tmp_path, drill("".join(f"{{id: s{n}, uses: load, needs: []}}\n" for n in range(400))))
    outer = "".join(f"{{id: x{n}, uses: scenario, with: {{file: parts/inner.yaml}}}}\n" for n in range(2))
    found = only(findings(tmp_path, drill(outer)))
    assert found.code == "OB101"
    assert "add more than 100000 needs" in found.message


def test_steps_of_inlined_files_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "MOST_INLINED", 5)
    write(tmp_path, drill("{id: a, uses: ask}\n{id: b, uses: ask}"))
    outer = "".join(f"{{id: x{n}, uses: scenario, with: {{file: parts/inner.yaml}}}}\n" for n in range(4))
    messages = [one.message for one in findings(tmp_path, drill(outer))]
    assert [("more than 5 steps" in one, "already" in one) for one in messages] == [
        (True, False),
        (False, True),
    ]


def test_values_of_inlined_files_are_bounded_in_all_cells_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "MOST_VALUES", 1000, raising=False)
    write(tmp_path, drill("{id: a, uses: ask, expect: [" + "'true', " * 100 + "]}"))
    header = f"inputs: {{n: {{type: integer, default: 0}}}}\nmatrix: {{n: {list(range(20))}}}\n"
    told = findings(tmp_path, drill("{id: x, uses: scenario, with: {file: parts/inner.yaml}}", header))
    refused = [one.message for one in told if one.code == "OB310"]
    assert ["1000 values in all cells together" in one for one in refused] == [True]


def test_a_matrix_plays_it_with_the_inputs_of_each_cell(tmp_path: Path) -> None:
    write(tmp_path)
    header = "inputs: {xid: {type: integer, default: 1}}\nmatrix: {xid: [79, 48]}\n"
    path = tmp_path / "drill.yaml"
    path.write_text(drill(OUTER.replace("xid: 79", 'xid: "${{ inputs.xid }}"'), header))
    loaded = load_cells(path, registry=registry())
    xids: list[Any] = [
        step(one, "drill.inject").params.resolve(Scope()).model_dump()["xid"] for one in loaded.scenarios
    ]
    assert xids == [79, 48]


STEP = st.fixed_dictionaries({"background": st.booleans(), "inner": st.lists(st.booleans(), max_size=4)})


@given(st.lists(STEP, min_size=1, max_size=5))
def test_a_list_that_is_inlined_gives_the_graph_that_it_gives_written_out(
    tmp_path_factory: pytest.TempPathFactory, shape: list[dict[str, Any]]
) -> None:
    """A background step of an inlined list that is all of it has no counterpart, so none is generated."""
    folder = tmp_path_factory.mktemp("law")
    outer, flat = [], []
    for n, one in enumerate(shape):
        inner = [
            f"{{id: s{m}, uses: load, background: {str(b).lower()}}}" for m, b in enumerate(one["inner"])
        ]
        if inner and not all(one["inner"]):
            write(folder, drill("\n".join(inner)), f"f{n}.yaml")
            outer.append(f"{{id: p{n}, uses: scenario, with: {{file: parts/f{n}.yaml}}}}")
            flat += [line.replace("{id: s", f"{{id: p{n}_s") for line in inner]
        else:
            line = f"{{id: q{n}, uses: load, background: {str(one['background']).lower()}}}"
            outer.append(line)
            flat.append(line)
    inlined = needs(load(folder, drill("\n".join(outer))))
    written = needs(load(folder, drill("\n".join(flat))))
    spelt = {
        name.replace(".", "_"): tuple(one.replace(".", "_") for one in wants)
        for name, wants in inlined.items()
    }
    assert spelt == written
