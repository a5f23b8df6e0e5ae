"""Whatever a file holds: a scenario or findings, with places inside the file; never another exception."""

from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from offbus.findings.invalid_scenario import InvalidScenario
from offbus.findings.model import Finding
from offbus.findings.render_text import render
from offbus.language.load import load_scenario
from offbus.language.syntax import source
from tests.kits.language.drill_types import drill, registry

VALID = drill(
    '{id: d, uses: deploy}\n{id: i, uses: inject, with: {xid: "${{ inputs.n }}"}}\n'
    "{id: a, uses: ask, with: {env: {A: b}}, expect: [outputs.success_rate == 1.0], "
    "when: steps.d.outcome == 'passed'}\n"
    "{id: c, uses: cleanup, with: {steps: [i]}}",
    "inputs: {n: {type: integer, default: 3}}\n",
)
SNIPPETS = [
    "${{ inputs.n }}",
    "{",
    "}",
    "[",
    "]",
    '"',
    "'",
    ":",
    "\t",
    "\n",
    "- ",
    "on",
    "010",
    "*x",
    "&x ",
    "<<: ",
    "!!str ",
    "|",
    ">",
    "steps",
    "1",
    "#",
    "\x00",
    "é",
    "\u2028",
]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("any") / "drill.yaml"


def findings_of(path: Path, data: bytes) -> tuple[Finding, ...]:
    """What is wrong with these bytes; any other exception passes through and fails the test."""
    path.write_bytes(data)
    try:
        load_scenario(path, registry=registry())
    except InvalidScenario as err:
        return err.findings
    return ()


def check(path: Path, data: bytes) -> None:
    found = findings_of(path, data)
    text = data.decode("utf-8", "replace")
    lines = 1 + sum(text.count(end) for end in ("\n", "\r", "\x85", "\u2028", "\u2029"))
    assert all(finding.where.line <= lines for finding in found)
    assert all(char.isprintable() or char == "\n" for char in render(found))


@given(st.data())
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_valid_file_with_something_put_in_or_cut_out(path: Path, data: st.DataObject) -> None:
    text = VALID
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text)))
        cut = data.draw(st.integers(0, 10))
        text = text[:at] + data.draw(st.sampled_from([*SNIPPETS, ""])) + text[at + cut :]
    check(path, text.encode())


@given(st.binary(max_size=60))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes(path: Path, data: bytes) -> None:
    check(path, b"offbus: 1\n" + data)


@pytest.mark.parametrize("parser", [yaml.SafeLoader, source._PARSER], ids=["python", "default"])
def test_both_parsers_read_the_same(path: Path, monkeypatch: pytest.MonkeyPatch, parser: type) -> None:
    """Where PyYAML is built without libyaml, its Python parser reads the same values at the same places."""
    monkeypatch.setattr(source, "_PARSER", parser)
    path.write_text(VALID)
    scenario = load_scenario(path, registry=registry())
    assert [(step.id, step.position.line, step.position.column) for step in scenario.steps] == [
        ("d", 5, 6),
        ("i", 6, 6),
        ("a", 7, 6),
        ("c", 8, 6),
    ]
    path.write_text(VALID.replace("{A: b}", "{A: ${{ 'é' }}, B: on}"))
    with pytest.raises(InvalidScenario) as caught:
        load_scenario(path, registry=registry())
    assert [(f.code, f.where.column) for f in caught.value.findings] == [("OB103", 40), ("OB107", 55)]
