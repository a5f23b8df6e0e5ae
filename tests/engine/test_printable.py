"""What CI systems obey is broken, whatever surrounds it; what they do not is printed as it is."""

import json

import pytest

from offbus.printable import clean, printable, printable_json

OBEYED = [
    "##[error]x",
    "##vso[task.prependpath]/tmp",
    "a ##vso[x]",
    "##teamcity[x]",
    "###vso[x]",
    "##a.b_c[x]",
]


@pytest.mark.parametrize("text", OBEYED)
def test_commands_of_ci_systems_are_broken(text: str) -> None:
    word = text.partition("##")[2].lstrip("#").partition("[")[0]
    for shown in (printable(text), clean(text), printable_json(json.dumps(text))):
        assert f"##{word}[" not in shown
    assert json.loads(printable_json(json.dumps(text))) == text
    assert printable(printable(text)) == printable(text)


@pytest.mark.parametrize(
    "text", ["## Steps [of a run](x)", "### Steps", "a # [b]", "x##y", "#vso[x]", "##é (x) ["]
)
def test_headings_and_others_stay(text: str) -> None:
    assert printable(text) == text
