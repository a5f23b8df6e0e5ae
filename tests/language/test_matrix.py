"""A scenario's matrix: which cells it has, what each is called, and what is checked in each."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offbus.findings.invalid_scenario import InvalidScenario
from offbus.language.load import Loaded, load_cells, load_scenario
from offbus.language.matrix import LONGEST_ID, Cell
from tests.kits.language.drill_types import drill, registry

INPUTS = """\
inputs:
  xid: {type: integer, default: 79}
  backend: {type: string, default: vllm, enum: [vllm, sglang]}
  wait: {type: duration, default: 1s}
"""
STEP = (
    '{id: a, uses: deploy, when: \'inputs.xid > 0 && inputs.backend != "" && inputs.wait > duration("0s")\'}'
)
VALUES = st.one_of(
    st.text(max_size=80),
    st.integers(-(2**63), 2**63 - 1),
    st.booleans(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.timedeltas(timedelta(0), timedelta(days=9)),
)
NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,12}", fullmatch=True)


def loaded(folder: Path, matrix: str, steps: str = STEP, **more: Any) -> Loaded:
    path = folder / "drill.yaml"
    path.write_text(drill(steps, f"{INPUTS}matrix: {matrix}\n"))
    return load_cells(path, registry=registry(), **more)


def ids(found: Loaded) -> list[str]:
    return [one.cell.id for one in found.scenarios if one.cell is not None]


def test_the_product_without_what_is_excluded_and_then_what_is_included(tmp_path: Path) -> None:
    axes = "xid: [79, 48], backend: [vllm, sglang]"
    found = loaded(
        tmp_path, f"{{{axes}, exclude: [{{xid: 48, backend: sglang}}], include: [{{xid: 94, wait: 2s}}]}}"
    )
    assert [(one.title, dict(one.inputs)) for one in found.scenarios] == [
        ("drill[xid=79,backend=vllm]", {"xid": 79, "backend": "vllm", "wait": timedelta(seconds=1)}),
        ("drill[xid=79,backend=sglang]", {"xid": 79, "backend": "sglang", "wait": timedelta(seconds=1)}),
        ("drill[xid=48,backend=vllm]", {"xid": 48, "backend": "vllm", "wait": timedelta(seconds=1)}),
        ("drill[xid=94,wait=2s]", {"xid": 94, "backend": "vllm", "wait": timedelta(seconds=2)}),
    ]
    assert ids(found)[0] == "xid-79.backend-vllm"
    assert ids(found)[3] == "xid-94.wait-2s"


@pytest.mark.parametrize(
    ("sets", "wanted"),
    [
        ({"xid": "48"}, ["xid-48.backend-vllm"]),
        ({"xid": "31"}, ["xid-31.backend-vllm", "xid-31.backend-sglang"]),
        ({"backend": "vllm"}, ["xid-79.backend-vllm", "xid-48.backend-vllm", "xid-94"]),
        ({"xid": "94", "backend": "vllm"}, ["xid-94.backend-vllm"]),
        ({"wait": "3s"}, ["xid-79.backend-vllm", "xid-79.backend-sglang", "xid-48.backend-vllm", "xid-94"]),
    ],
)
def test_what_is_set_pins_an_axis(tmp_path: Path, sets: dict[str, str], wanted: list[str]) -> None:
    matrix = "{xid: [79, 48], backend: [vllm, sglang], exclude: [{xid: 48, backend: sglang}], include: [{xid: 94}]}"
    if sets == {
        "xid": "94",
        "backend": "vllm",
    }:  # it is in the product now: the entry of `include` would be a second
        matrix = matrix.replace(", include: [{xid: 94}]", "")
    assert ids(loaded(tmp_path, matrix, sets=sets)) == wanted


def test_no_cell_with_what_is_set(tmp_path: Path) -> None:
    with pytest.raises(InvalidScenario) as refused:
        loaded(tmp_path, "{include: [{xid: 48}]}", sets={"xid": "79"})
    [finding] = refused.value.findings
    assert (finding.code, str(finding.where)) == ("OB606", "--set xid=79")


def test_one_cell_by_its_id(tmp_path: Path) -> None:
    assert ids(loaded(tmp_path, "{xid: [79, 48]}", cell="xid-48")) == ["xid-48"]
    with pytest.raises(InvalidScenario) as refused:
        loaded(tmp_path, "{xid: [79, 48]}", cell="xid-84")
    [finding] = refused.value.findings
    assert (finding.code, finding.suggestion) == ("OB606", "xid-48")
    assert finding.hint == "choose one with --cell: xid-79, xid-48"


def test_where_one_scenario_is_wanted_several_cells_are_refused(tmp_path: Path) -> None:
    loaded(tmp_path, "{xid: [79, 48]}")
    with pytest.raises(InvalidScenario, match="has 2 cells, and one is wanted"):
        load_scenario(tmp_path / "drill.yaml", registry=registry())
    assert load_scenario(tmp_path / "drill.yaml", registry=registry(), cell="xid-48").inputs["xid"] == 48


def test_an_axis_gives_a_value_to_an_input_without_one(tmp_path: Path) -> None:
    path = tmp_path / "drill.yaml"
    path.write_text(
        drill(
            "{id: a, uses: deploy, when: inputs.n > 0}", "inputs: {n: {type: integer}}\nmatrix: {n: [1, 2]}\n"
        )
    )
    assert [one.inputs["n"] for one in load_cells(path, registry=registry()).scenarios] == [1, 2]


def test_what_is_wrong_in_some_cells_names_them_and_what_is_wrong_in_all_is_one_finding(
    tmp_path: Path,
) -> None:
    steps = """\
{id: a, uses: deploy}
{id: b, uses: inject, with: {xid: "${{ inputs.xid }}"}}
{id: c, uses: deploy, with: {nonsense: 1}}
"""
    with pytest.raises(InvalidScenario) as refused:
        loaded(tmp_path, "{xid: [79, 900, 48, 901]}", steps)
    told = [one.message for one in refused.value.findings]
    assert [one for one in told if "nonsense" in one] == ["step type deploy has no key 'nonsense'"]
    assert sorted(one[-14:] for one in told if "(cell" in one) == ["(cell xid-900)", "(cell xid-901)"]


def test_a_matrix_with_several_faults_shows_them_together(tmp_path: Path) -> None:
    with pytest.raises(InvalidScenario) as refused:
        loaded(
            tmp_path, "{xid: [79, x], node: [a], max_parallel: 0, include: [3], exclude: [{backend: vllm}]}"
        )
    assert sorted(one.code for one in refused.value.findings) == ["OB203", "OB204", "OB505", "OB601", "OB605"]


def test_a_product_that_no_machine_can_hold_is_refused_at_once(tmp_path: Path) -> None:
    axes = ", ".join(f"n{number}: {list(range(20))}" for number in range(12))
    inputs = ", ".join(f"n{number}: {{type: integer, default: 1}}" for number in range(12))
    path = tmp_path / "drill.yaml"
    path.write_text(drill("{id: a, uses: deploy}", f"inputs: {{{inputs}}}\nmatrix: {{{axes}}}\n"))
    with pytest.raises(InvalidScenario, match=f"has {20**12} cells"):
        load_cells(path, registry=registry())


def test_the_steps_of_all_cells_together_are_bounded(tmp_path: Path) -> None:
    steps = "\n".join(f"{{id: a{number}, uses: deploy}}" for number in range(1001))
    with pytest.raises(
        InvalidScenario, match="has 100 cells of 1001 steps, and 100000 steps in all are allowed"
    ):
        loaded(tmp_path, f"{{xid: {list(range(1, 101))}}}", steps)


@given(st.dictionaries(NAMES, VALUES, min_size=1, max_size=5))
def test_an_id_is_a_label_a_file_name_and_the_same_each_time(inputs: dict[str, Any]) -> None:
    found = Cell(inputs).id
    assert found == Cell(dict(inputs)).id
    assert len(found) <= LONGEST_ID
    assert found.replace("-", "").replace(".", "").replace("_", "").isalnum()
    assert found.isascii()
    assert found[0].isalnum()
    assert found[-1].isalnum()


@given(NAMES, st.lists(VALUES, min_size=2, max_size=2, unique_by=lambda value: (type(value), value)))
def test_two_values_of_one_type_never_share_an_id(name: str, values: list[Any]) -> None:
    one, other = values
    if type(one) is type(other) and one != other:
        assert Cell({name: one}).id != Cell({name: other}).id


def test_a_cell_knows_the_files_that_its_own_steps_read(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.txt").write_text(name)
    text = drill(
        '{id: r, uses: read, with: {file: "${{ inputs.f }}.txt"}}',
        "inputs: {f: {type: string}}\nmatrix: {f: [a, b]}\n",
    )
    path = tmp_path / "drill.yaml"
    path.write_text(text)

    def read() -> list[str]:
        return [one.files for one in load_cells(path, registry=registry()).scenarios]

    before = read()
    (tmp_path / "b.txt").write_text("changed")
    after = read()
    assert before[0] == after[0]
    assert before[1] != after[1]
    assert len({*before, *after}) == 3
