"""What gives an input its value, and what is wrong with a value, a name or a file."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offbus.errors import UsageError
from offbus.findings.model import Severity
from offbus.language.load import load_cells
from tests.kits.language.drill_types import drill, findings, load, registry

HEADER = """\
inputs:
  xid: {type: integer, default: 1}
  backend: {type: string, default: vllm, enum: [vllm, sglang]}
  wait: {type: duration, default: 1s}
  rate: {type: number, default: 1.0}
"""
TEXT = drill(
    '{id: a, uses: deploy, when: \'inputs.xid > 0 && inputs.backend != "" && inputs.rate > 0.0 && '
    'inputs.wait > duration("0s")\'}',
    HEADER,
)


def values(tmp_path: Path, text: str = TEXT, **given: Any) -> dict[str, Any]:
    return dict(load(tmp_path, text, **{"environ": {}, **given}).inputs)


def file(tmp_path: Path, text: str, name: str = "inputs.yaml") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


@pytest.mark.parametrize("by_set", [False, True])
@pytest.mark.parametrize("by_file", [False, True])
@pytest.mark.parametrize("by_environment", [False, True])
def test_the_first_that_names_an_input_gives_its_value(
    tmp_path: Path, by_set: bool, by_file: bool, by_environment: bool
) -> None:
    said = {
        "environ": {"OFFBUS_INPUT_XID": "4", "OFFBUS_INPUTS": "x"} if by_environment else {},
        "inputs": file(tmp_path, "xid: 3\n") if by_file else None,
        "sets": {"xid": "2"} if by_set else {},
    }
    wanted = 2 if by_set else 3 if by_file else 4 if by_environment else 1
    assert values(tmp_path, **said)["xid"] == wanted


def test_a_file_of_inputs_is_yaml_or_json(tmp_path: Path) -> None:
    wanted = {"xid": 48, "backend": "sglang", "wait": timedelta(seconds=90), "rate": 2.0}
    yaml = "xid: 48\nbackend: sglang\nwait: 90s\nrate: 2\n"
    assert values(tmp_path, inputs=file(tmp_path, yaml)) == wanted
    data = json.dumps({"xid": 48, "backend": "sglang", "wait": "90s", "rate": 2}, indent="\t")
    assert values(tmp_path, inputs=file(tmp_path, data, "inputs.json")) == wanted


@given(xid=st.integers(-(2**63), 2**63 - 1))
def test_every_way_gives_the_same_value(tmp_path_factory: pytest.TempPathFactory, xid: int) -> None:
    folder = tmp_path_factory.mktemp("given")
    text = drill("{id: a, uses: deploy, when: inputs.xid > 0}", "inputs: {xid: {type: integer}}\n")
    inputs = file(folder, json.dumps({"xid": xid}))
    for said in (
        {"sets": {"xid": str(xid)}},
        {"inputs": inputs},
        {"environ": {"OFFBUS_INPUT_XID": str(xid)}},
    ):
        assert values(folder, text, **said) == {"xid": xid}


def test_what_is_wrong_in_a_file_of_inputs_is_found_at_its_position(tmp_path: Path) -> None:
    path = file(tmp_path, "xid: many\nbackand: vllm\nbackend: trtllm\nwait: yes\n")
    found = findings(tmp_path, TEXT, inputs=path, environ={})
    assert [(str(one.code), str(one.where), one.suggestion) for one in found] == [
        ("OB505", f"{path}:1:6", None),
        ("OB504", f"{path}:2:1", "backend"),
        ("OB505", f"{path}:3:10", None),
        ("OB107", f"{path}:4:7", None),
    ]
    assert not any(one.frame for one in found), "a line may have a secret beside it"
    assert "'many' is not of type integer" in found[0].message
    assert "is not one of vllm, sglang" in found[2].message


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "OB114"),
        ("- xid\n", "OB114"),
        ("xid: [1\n", "OB102"),
        ("xid: 1\nxid: 2\n", "OB106"),
        ("a: \x01", "OB100"),
    ],
)
def test_a_file_that_gives_nothing_is_one_finding(tmp_path: Path, text: str, code: str) -> None:
    needs = TEXT.replace("integer, default: 1", "integer")
    path = file(tmp_path, text)
    (found,) = findings(tmp_path, needs, inputs=path, environ={})
    assert (found.code, found.where.file) == (code, str(path))


def test_a_file_of_inputs_that_does_not_exist_is_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        values(tmp_path, inputs=tmp_path / "no.yaml")


def test_an_environment_variable_for_no_input_is_a_warning(tmp_path: Path) -> None:
    environ = {"OFFBUS_INPUT_BACKAND": "sglang", "OFFBUS_INPUT_XID": ""}
    scenario = load(tmp_path, TEXT, environ=environ)
    assert scenario.inputs["xid"] == 1
    (warning,) = scenario.warnings
    assert (warning.code, warning.severity) == ("OB504", Severity.WARNING)
    assert str(warning.where) == "$OFFBUS_INPUT_BACKAND"
    assert warning.suggestion == "OFFBUS_INPUT_BACKEND"


def test_a_bad_value_of_the_environment_names_its_variable(tmp_path: Path) -> None:
    (found,) = findings(tmp_path, TEXT, environ={"OFFBUS_INPUT_XID": "x"})
    assert (found.code, str(found.where)) == ("OB505", "$OFFBUS_INPUT_XID")


def test_an_input_without_a_value_says_how_to_give_it_one(tmp_path: Path) -> None:
    (found,) = findings(tmp_path, TEXT.replace("integer, default: 1", "integer"), environ={})
    assert found.hint == "set a default, or --set xid=…, or $OFFBUS_INPUT_XID"


@pytest.mark.parametrize("how", ["sets", "inputs", "environ"])
def test_each_way_pins_the_axis_of_a_matrix(tmp_path: Path, how: str) -> None:
    path = tmp_path / "drill.yaml"
    path.write_text(TEXT.replace("steps:", "matrix: {xid: [79, 48]}\nsteps:"))
    said: dict[str, Any] = {
        "sets": {"sets": {"xid": "48"}},
        "inputs": {"inputs": file(tmp_path, "xid: 48\n")},
        "environ": {"environ": {"OFFBUS_INPUT_XID": "48"}},
    }[how]
    loaded = load_cells(path, registry=registry(), **{"environ": {}, **said})
    assert [one.cell and one.cell.id for one in loaded.scenarios] == ["xid-48"]
