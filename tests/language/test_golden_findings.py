"""Wrong scenarios and all that `offbus validate` prints of them, in every format, as files that a change shows up in.

    OFFBUS_GOLDEN=write .venv/bin/python -m pytest tests/language/test_golden_findings.py     write them again

Each file of golden/ has the scenario, and what is printed as text, for GitHub, as JSON and as SARIF. They are those of
check/test_finding_codes.py, which says what each must say; here nothing of the whole output changes unseen.
"""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from offbus.findings.model import Finding
from offbus.findings.render_github import annotations
from offbus.findings.render_sarif import sarif
from offbus.findings.render_text import render
from offbus.printable import printable_json
from tests.kits.language.drill_types import findings
from tests.language.check.test_finding_codes import CASES, Case

GOLDEN = Path(__file__).parent / "golden"
TWELVE = """\
offbus: 1
name: Twelve Faults
sumary: y
timeout: soon
inputs:
  n: {type: integer, default: x}
guards: {max_cordoned: 1}
steps:
  - {id: a, uses: deplay}
  - {id: a, uses: deploy}
  - {id: b, uses: ask, with: {rate: fast}}
  - {id: c, uses: ask, needs: [bb]}
  - {id: d, uses: ask, expect: [outputs.succes_rate > 0.5]}
  - {id: e, uses: ask, when: 1 + 1}
  - {id: f, uses: ask, with: {env: {A: on}}}
"""


def name_of(case: str) -> str:
    return re.sub("[^a-z0-9]+", "-", case.lower()).strip("-")


def shown(found: tuple[Finding, ...], text: str) -> str:
    """All formats, with the scenario before them. Versions are left out: they change with each release."""
    document: dict[str, Any] = sarif({"drill.yaml": found}, "VERSION")
    parts = {
        "scenario": text,
        "text": render(found),
        "github": "\n".join(annotations(found)),
        "json": printable_json(json.dumps([one.to_json() for one in found], indent=1)),
        "sarif": printable_json(json.dumps(document, indent=1)),
    }
    made = "".join(f"==== {title}\n{part}\n" for title, part in parts.items())
    return "".join(one if one.isprintable() or one == "\n" else f"<U+{ord(one):04X}>" for one in made)


def compared(name: str, made: str) -> None:
    file = GOLDEN / f"{name}.txt"
    if os.environ.get("OFFBUS_GOLDEN") == "write":
        file.parent.mkdir(exist_ok=True)
        file.write_text(made, encoding="utf-8")
    assert file.read_text(encoding="utf-8") == made


def test_there_are_at_least_120_and_none_too_many() -> None:
    names = {name_of(case) for case in CASES}
    assert len(names) == len(CASES) >= 120
    assert {file.stem for file in GOLDEN.iterdir()} == {*names, "twelve-faults"}


@pytest.mark.parametrize(("name", "case"), CASES.items(), ids=CASES.keys())
def test_the_whole_output(name: str, case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = case.text.replace("⟦", "").replace("⟧", "")
    compared(name_of(name), shown(findings(Path(), text, **case.overrides), text))


def test_a_file_with_twelve_faults_has_twelve_findings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = findings(Path(), TWELVE)
    assert len(found) == 12, render(found)
    assert len({one.where for one in found}) == 12
    compared("twelve-faults", shown(found, TWELVE))
