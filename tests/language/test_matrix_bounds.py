"""The bounds of a file hold for all cells of its matrix together, and no part of a matrix takes its square."""

from pathlib import Path

import pytest

from offbus.findings.codes import Code
from offbus.findings.invalid_scenario import InvalidScenario
from offbus.findings.model import Finding
from offbus.language.load import load_cells
from tests.kits.language.drill_types import drill, registry
from tests.kits.proportion import in_proportion

N = "n: {type: integer, default: 0}"
DEPLOY = "{id: a, uses: deploy}"
USES_N = "{id: a, uses: deploy, when: 'inputs.n >= 0'}"


def found(folder: Path, matrix: str, inputs: str = N, steps: str = USES_N) -> tuple[Finding, ...]:
    """What is wrong, or what is warned of."""
    path = folder / "drill.yaml"
    path.write_text(drill(steps, f"inputs: {{{inputs}}}\nmatrix: {{max_cells: 4096, {matrix}}}\n"))
    try:
        return tuple(one for cell in load_cells(path, registry=registry()).scenarios for one in cell.warnings)
    except InvalidScenario as err:
        return tuple(err.findings)


def numbers(count: int, begin: int = 1) -> str:
    return f"[{', '.join(map(str, range(begin, begin + count)))}]"


def test_expressions_of_all_cells_together_are_bounded(tmp_path: Path) -> None:
    steps = "\n".join(
        f'{{id: a{n}, uses: deploy, with: {{manifest: "${{{{ inputs.s + inputs.s + string(inputs.n) }}}}"}}}}'
        for n in range(40)
    )
    told = found(tmp_path, f"n: {numbers(40)}", f'{N}, s: {{type: string, default: "{"x" * 30_000}"}}', steps)
    [one] = [one for one in told if one.code == Code.NOT_EVALUABLE]
    assert "this file's expressions over inputs may make more than" in one.message
    assert "(cell n-" in one.message


def test_so_are_the_values_that_are_checked_in_each_cell(tmp_path: Path) -> None:
    steps = f"{USES_N}\n{{id: b, uses: cleanup, with: {{steps: [{'a, ' * 3000}]}}}}"
    [one] = found(tmp_path, f"n: {numbers(200)}", steps=steps)
    assert one.code == Code.TOO_MANY_CELLS
    assert "the matrix has 200 cells of 30" in one.message
    assert "values each, and 524288 in all are allowed" in one.message


def test_a_long_text_is_many_values(tmp_path: Path) -> None:
    steps = '{id: a, uses: deploy, with: {manifest: "${{ string(inputs.n) }}' + "x" * 300_000 + '"}}'
    [one] = found(tmp_path, f"n: {numbers(200)}", steps=steps)
    assert one.code == Code.TOO_MANY_CELLS


def test_so_are_the_inputs_which_each_cell_s_report_repeats(tmp_path: Path) -> None:
    inputs = f'{N}, s: {{type: string, default: "{"x" * 20_000}"}}'
    steps = "{id: a, uses: deploy, when: 'inputs.s != string(inputs.n)'}"
    [one] = found(tmp_path, f"n: {numbers(300)}", inputs, steps)
    assert one.code == Code.TOO_MANY_CELLS
    assert "the inputs of its 300 cells have 6" in one.message
    assert "characters together, and 4194304 are allowed" in one.message
    assert found(tmp_path, f"n: {numbers(200)}", inputs, steps) == ()


def test_so_are_the_files_that_are_looked_at_for_other_values(tmp_path: Path) -> None:
    names = ", ".join(f"no{n}.txt" for n in range(400))
    inputs = f"{N}, f: {{type: string, default: no0.txt, enum: [{names}]}}"
    steps = f'{USES_N}\n{{id: b, uses: read, with: {{file: "${{{{ inputs.f }}}}"}}}}'
    told = found(tmp_path, f"n: {numbers(100)}", inputs, steps)
    limit = "files for more than 10000 other values of inputs are not looked at"
    assert [one.message.split(" (cell")[0] for one in told if "more than" in one.message] == [limit]


@pytest.mark.parametrize(
    ("matrix", "most"),
    [
        (f"include: [{', '.join(f'{{odd{n}: 1}}' for n in range(300))}]", 2000),
        (f"n: {numbers(299, -300)}", 2000),
    ],
)
def test_what_is_allowed_is_told_in_few_words(tmp_path: Path, matrix: str, most: int) -> None:
    inputs = ", ".join(f"input{n}: {{type: integer, default: 1}}" for n in range(500))
    listed = f"n: {{type: integer, default: 1, enum: {numbers(500)}}}"
    told = found(tmp_path, matrix, f"{inputs}, {listed}", DEPLOY)
    assert 299 <= len(told) <= 300
    assert max(len(one.message) + len(one.hint or "") for one in told) < most


def test_the_entries_of_exclude_name_few_sets_of_axes(tmp_path: Path) -> None:
    axes = ", ".join(f"n{n}: [1, 2]" for n in range(8))
    inputs = ", ".join(f"n{n}: {{type: integer, default: 1}}" for n in range(8))
    exclude = ", ".join(
        "{" + ", ".join(f"n{n}: 1" for n in range(8) if (number >> n) & 1) + "}" for number in range(1, 66)
    )
    [one] = found(tmp_path, f"{axes}, exclude: [{exclude}]", inputs, DEPLOY)
    assert (one.code, "65 different sets of axes, and 64 are allowed" in one.message) == (
        Code.TOO_MANY_CELLS,
        True,
    )


LINEAR = {
    "an axis of what an enum does not list": lambda n: (
        f"n: {numbers(n)}", f"n: {{type: integer, default: 0, enum: {numbers(n, -n)}}}"),
    "exclude": lambda n: (
        f"n: {numbers(n)}, exclude: [{', '.join(f'{{n: {k}}}' for k in range(2, n + 1))}]", N),
    "include of what is no input": lambda n: (
        f"include: [{', '.join(f'{{m{k}: 1}}' for k in range(n))}]",
        ", ".join(f"i{k}: {{type: integer, default: 1}}" for k in range(n))),
}  # fmt: skip


@pytest.mark.parametrize("kind", LINEAR)
def test_twice_as_many_take_twice_the_work(tmp_path: Path, kind: str) -> None:
    def check(count: int) -> None:
        matrix, inputs = LINEAR[kind](count)
        found(tmp_path, matrix, inputs, DEPLOY)

    assert in_proportion(check, 150)
