"""Ten thousand steps: loaded whole, in order, without recursion, whatever they hold."""

from pathlib import Path

import pytest

from offbus import dag
from offbus.language.cel.scope import Scope, StepState
from tests.kits import REPOSITORY
from tests.kits.language.drill_types import findings, load

COUNT = 10_000


def lines(each: str, before: str = "") -> str:
    return (
        "offbus: 1\nname: large\nsteps:\n"
        + before
        + "".join(f"  - {each.format(n=n, before=n - 1)}\n" for n in range(COUNT))
    )


def test_simple_steps_make_one_chain(tmp_path: Path) -> None:
    scenario = load(
        tmp_path, lines("{{id: s{n}, uses: ask, with: {{rate: {n}, hint: x}}, timeout: 10m, expect: []}}")
    )
    assert len(scenario.steps) == COUNT
    assert scenario.steps[-1].needs == (f"s{COUNT - 2}",)
    graph = dag.build({step.id: step.needs for step in scenario.steps})
    assert graph.order == tuple(step.id for step in scenario.steps)
    assert scenario.steps[7].params.resolve(Scope()).model_dump()["rate"] == 7.0


def test_steps_without_expressions_do_not_load_cel(tmp_path: Path) -> None:
    import subprocess
    import sys

    load(tmp_path, lines("{{id: s{n}, uses: ask, with: {{hint: x}}}}"))
    script = (
        "import sys; from pathlib import Path; from tests.kits.language import drill_types\n"
        "from offbus.language.load import load_scenario\n"
        f"load_scenario({str(tmp_path / 'drill.yaml')!r}, registry=drill_types.registry())\n"
        "print('cel_expr_python' in sys.modules)"
    )
    environ = {"PYTHONPATH": str(REPOSITORY)}
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environ, timeout=110
    )
    assert ran.stdout.strip() == "False"


def test_every_step_with_an_expression_a_template_and_a_binding(tmp_path: Path) -> None:
    each = (
        "{{id: s{n}, uses: inject, when: steps.d.outcome == 'passed', "
        'with: {{xid: "${{{{ size(steps.d.outputs.target.name) }}}}"}}}}'
    )
    scenario = load(tmp_path, lines(each, "  - {id: d, uses: deploy}\n"))
    step = scenario.steps[-1]
    assert step.when is not None
    assert step.when.evaluate(Scope(steps={"d": StepState("passed", None)}))
    assert [binding.step for binding in step.params.bindings] == ["d"]


def test_a_mistake_in_every_step_is_a_finding_for_each(tmp_path: Path) -> None:
    found = findings(tmp_path, lines("{{id: s{n}, uses: ask, neds: []}}"))
    assert len(found) == COUNT
    assert {finding.suggestion for finding in found} == {"needs"}


def test_a_cycle_through_all_of_them(tmp_path: Path) -> None:
    text = lines("{{id: s{n}, uses: ask, with: {{hint: x}}}}").replace(
        "id: s0,", f"id: s0, needs: [s{COUNT - 1}],", 1
    )
    (finding,) = findings(tmp_path, text)
    assert finding.code == "OB305"
    assert (finding.where.line, finding.where.column) == (4, 22)
    assert (
        finding.message
        == "steps need each other: s0 → s9999 → s9998 → s9997 → s9996 → s9995 → s9994 → s9993 → s9992 → … → s1 → s0"
    )


@pytest.mark.parametrize("extra", ["  - {id: x, uses: ask, with: {rate: ${{ 1 }}}}\n"], ids=["unquoted"])
def test_many_unquoted_expressions_end(tmp_path: Path, extra: str) -> None:
    found = findings(tmp_path, "offbus: 1\nname: x\nsteps:\n" + extra * 2_000)
    assert {finding.code for finding in found} == {"OB103", "OB102"}
    assert len(found) == 51


def test_a_large_file_is_not_parsed_again_for_every_unquoted_expression(tmp_path: Path) -> None:
    """Each costs a pass over the file: 50 of a file of 4 MB took five minutes."""
    head = "offbus: 1\nname: x\n" + f"# {'x' * 1000}\n" * 1_950 + "steps:\n"
    found = findings(tmp_path, head + "  - {id: x, uses: ask, with: {rate: ${{ 1 }}}}\n" * 60)
    assert [finding.code for finding in found] == ["OB103"] * 4 + ["OB102"]
    assert [finding.where.line for finding in found] == [1_954, 1_955, 1_956, 1_957, 1_958]
