"""`offbus explain`: every code is explained, and each example has its finding, and none when right."""

import json
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from offbus.cli.commands.validate import validate
from offbus.cli.handlers.explain import explain_code, list_codes
from offbus.errors import UsageError
from offbus.findings.codes import Code
from offbus.findings.explanation import Explanation, explanations

EXPLAINED = explanations()
WITHOUT = {"OB101", "OB115", "OB303", "OB311", "OB312", "OB411", "OB414", "OB502"}
"""A file alone does not show these: a large one, one that is inlined, and packages that are broken."""


def codes_of(text: str, command: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    (folder / "drill.yaml").write_text(text, encoding="utf-8")
    monkeypatch.chdir(folder)
    assert command.startswith("offbus validate drill.yaml")
    ran = CliRunner().invoke(
        validate, [*shlex.split(command)[2:], "--format", "json"], catch_exceptions=False
    )
    return {finding["code"] for [result] in [json.loads(ran.stdout)] for finding in result["findings"]}


def test_which_have_no_example() -> None:
    assert {code.value for code, told in EXPLAINED.items() if told.wrong is None} == WITHOUT


@pytest.mark.parametrize(
    "told", [one for one in EXPLAINED.values() if one.wrong], ids=lambda told: told.code.value
)
def test_the_wrong_scenario_has_the_finding_and_the_right_one_has_none(
    told: Explanation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert told.wrong is not None
    assert told.right is not None
    assert codes_of(told.wrong, told.wrong_command, tmp_path, monkeypatch) == {told.code.value}
    assert codes_of(told.right, told.right_command, tmp_path, monkeypatch) == set()


@pytest.mark.parametrize("told", EXPLAINED.values(), ids=lambda told: told.code.value)
def test_texts_are_sentences_and_short_enough_for_code_scanning(told: Explanation) -> None:
    for text in (told.what, told.fix):
        assert text[0].isupper() or text[0] == "`"
        assert text.endswith(".")
        assert "⟦" not in text
    assert len(told.what) <= 1024


def test_the_list_has_every_code() -> None:
    lines = list_codes("text").splitlines()
    assert [line.split()[0] for line in lines] == sorted(code.value for code in Code)
    assert {one["code"] for one in json.loads(list_codes("json"))} == set(Code)


def test_one_as_text_has_meaning_both_scenarios_and_what_to_do() -> None:
    text = explain_code("ob302", "text")
    assert text.startswith("OB302: an unknown step type\n")
    wrong, right = text.index("\nWrong:\n"), text.index("\nRight:\n")
    assert wrong < text.index("uses: verify_inferense") < right < text.index("uses: verify_inference}")
    assert "How to fix it:\n" in text
    assert all(char.isprintable() or char == "\n" for char in explain_code("OB100", "text"))


def test_one_about_the_command_line_shows_the_command() -> None:
    text = explain_code("OB504", "text")
    assert "$ offbus validate drill.yaml --set rat=30" in text
    assert "$ offbus validate drill.yaml --set rate=30" in text


def test_one_as_json() -> None:
    told = json.loads(explain_code("OB302", "json"))
    assert list(told) == ["code", "meaning", "what", "example", "fix"]
    assert json.loads(explain_code("OB303", "json"))["example"] is None


@pytest.mark.parametrize(("name", "hint"), [("OB30", "OB3"), ("xyz", "`offbus explain` lists them")])
def test_an_unknown_code(name: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        explain_code(name, "text")
    assert str(caught.value).startswith(f"there is no finding {name!r}")
    assert hint in str(caught.value.hint)
