"""Findings where people work: annotations of GitHub Actions, and SARIF for code scanning."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from offbus.findings.codes import Code
from offbus.findings.model import Finding, Position, Severity
from offbus.findings.render_github import SHOWN, annotations
from offbus.findings.render_sarif import MOST, sarif

WRONG = """\
offbus: 1
name: wrong
sumary: a, b, 100%
steps:
  - {id: a, uses: nothing_like_it}
"""


def finding(number: int = 1, message: str = "it is wrong", **more: Any) -> Finding:
    return Finding(
        code=Code.UNKNOWN_KEY, message=message, where=Position("a.yaml", number, 2, number, 5), **more
    )


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository whose folder `drills` is the working directory."""
    (tmp_path / ".git").mkdir()
    (tmp_path / "drills").mkdir()
    monkeypatch.chdir(tmp_path / "drills")
    return tmp_path


@pytest.mark.usefixtures("repository")
def test_an_annotation_has_its_place_below_the_repository_and_what_to_do() -> None:
    assert list(annotations([finding(hint="leave it out", suggestion="it")])) == [
        (
            "::error title=offbus OB202,file=drills/a.yaml,line=1,col=2,endColumn=5,endLine=1::"
            "it is wrong%0Adid you mean 'it'?%0Aleave it out"
        )
    ]


@pytest.mark.usefixtures("repository")
def test_no_text_of_a_file_ends_a_command_or_begins_one() -> None:
    [line] = annotations([finding(message="50 %\n::set-env name=A::b\r\x1b[31m", hint="a,b:c")])
    assert "\n" not in line
    assert "\x1b" not in line
    assert line.endswith("::50 %25%0A::set-env name=A::b%0D\ufffd[31m%0Aa,b:c")
    [line] = annotations(
        [Finding(code=Code.UNKNOWN_KEY, message="m", where=Position("a,b:c.yaml", 1, 1, 1, 2))]
    )
    assert "file=drills/a%2Cb%3Ac.yaml,line=1" in line


@pytest.mark.usefixtures("repository")
def test_what_github_would_drop_is_counted() -> None:
    many = [finding(number) for number in range(1, 31)]
    many += [finding(number, severity=Severity.WARNING) for number in range(1, SHOWN + 1)]
    lines = list(annotations(many))
    assert [line.partition(" ")[0] for line in lines].count("::error") == SHOWN - 1
    assert "::error::and 21 more; the log of this step has them all" in lines
    assert sum(line.startswith("::warning") for line in lines) == SHOWN


@pytest.mark.usefixtures("repository")
def test_sarif_has_a_rule_for_each_code_and_a_place_for_each_finding(tmp_path: Path) -> None:
    line = Finding(code=Code.UNKNOWN_SETTING, message="no such input", where=Position("--set a=b"))
    outside = Finding(
        code=Code.NO_MAPPING, message="m", where=Position("/elsewhere/b c.yaml", 1, 1, 1, 1 << 20)
    )
    [run] = sarif({"a.yaml": [finding(hint="h"), line], "/elsewhere/b c.yaml": [outside]}, "1.0")["runs"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert rules == ["OB114", "OB202", "OB504"]
    results = run["results"]
    assert [rules[one["ruleIndex"]] for one in results] == [one["ruleId"] for one in results]
    places = [one["locations"][0]["physicalLocation"] for one in results]
    assert places[0] == {
        "artifactLocation": {"uri": "drills/a.yaml"},
        "region": {"startLine": 1, "startColumn": 2, "endLine": 1, "endColumn": 5},
    }
    assert places[1] == {"artifactLocation": {"uri": "drills/a.yaml"}}
    assert results[1]["message"]["text"] == "no such input (--set a=b)"
    assert places[2]["artifactLocation"]["uri"] == "file:///elsewhere/b%20c.yaml"
    assert "endColumn" not in places[2]["region"]
    assert all(text for text in texts(run)), "GitHub refuses empty strings"


def texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for one in inner for text in texts(one)]


@pytest.mark.usefixtures("repository")
def test_sarif_names_a_file_whose_name_is_no_text() -> None:
    name = os.fsdecode(b"a\xff b.yaml")
    one = Finding(code=Code.UNKNOWN_KEY, message="m", where=Position(name, 1, 1, 1, 2))
    document = json.loads(json.dumps(sarif({name: [one]}, "1.0")))
    [result] = document["runs"][0]["results"]
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "drills/a%FF%20b.yaml"


@pytest.mark.usefixtures("repository")
def test_no_text_of_a_file_is_a_link_in_sarif() -> None:
    found = finding(message="see [here](https://evil.example)", hint="[x](1)")
    document = sarif({"a.yaml": [found]}, "1.0")
    assert (
        document["runs"][0]["results"][0]["message"]["text"] == "see [here] (https://evil.example). [x] (1)"
    )


@pytest.mark.usefixtures("repository")
def test_sarif_holds_no_more_than_is_taken_and_says_so() -> None:
    [run] = sarif({"a.yaml": [finding()] * (MOST + 3)}, "1.0")["runs"]
    assert len(run["results"]) == MOST
    [notice] = run["invocations"][0]["toolExecutionNotifications"]
    assert notice["message"]["text"] == "3 more findings are left out"


@pytest.mark.parametrize("form", ["sarif", "github"])
def test_the_command_prints_them_and_exits_with_2(repository: Path, form: str) -> None:
    Path("wrong.yaml").write_text(WRONG)
    command = [sys.executable, "-m", "offbus", "validate", "wrong.yaml", "--format", form]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, env=os.environ | {"NO_COLOR": "1"}
    )
    assert (done.returncode, done.stderr) == (2, "")
    if form == "sarif":
        found = json.loads(done.stdout)["runs"][0]["results"]
        assert {one["ruleId"] for one in found} == {"OB202", "OB302"}
        assert {one["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for one in found} == {
            "drills/wrong.yaml"
        }
    else:
        commands = [line for line in done.stdout.splitlines() if line.startswith("::")]
        assert len(commands) == 2
        assert "wrong.yaml is not a valid scenario: 2 findings" in done.stdout
        assert "    3 | sumary: a, b" in done.stdout
