"""SARIF as others read it: its own JSON Schema, and a program that nobody here wrote."""

import csv
import json
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from offbus.findings.model import Severity
from offbus.findings.render_sarif import sarif
from tests.kits.language.drill_types import findings
from tests.kits.programs_of_others import python_of
from tests.language.check.test_finding_codes import CASES
from tests.language.test_golden_findings import TWELVE

SCHEMA = Path(__file__).parent / "sarif" / "sarif-2.1.0-rtm.5.json"


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft4Validator:
    return jsonschema.Draft4Validator(json.loads(SCHEMA.read_text()))


def documents(folder: Path) -> dict[str, Any]:
    """All wrong scenarios in one document, as `validate` prints many files."""
    found = {}
    for number, case in enumerate(CASES.values()):
        text = case.text.replace("⟦", "").replace("⟧", "")
        found[str(folder / f"{number}.yaml")] = findings(folder, text, **case.overrides)
    return sarif(found, "1.2.3")


def test_it_is_valid_by_its_schema(validator: jsonschema.Draft4Validator, tmp_path: Path) -> None:
    document = documents(tmp_path)
    assert len(document["runs"][0]["results"]) >= 120
    assert any("fixes" in one for one in document["runs"][0]["results"])
    validator.validate(document)
    validator.validate(sarif({}, "1.2.3"))


@pytest.mark.slow
def test_somebody_elses_program_reads_it(tmp_path: Path) -> None:
    python = python_of("sarif-tools==3.0.5")
    found = findings(tmp_path, TWELVE)
    (tmp_path / "offbus.sarif").write_text(json.dumps(sarif({"drill.yaml": found}, "1.2.3")))
    command = [str(python), "-m", "sarif", "csv", "--output", "out.csv", "offbus.sarif"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    rows = list(csv.DictReader((tmp_path / "out.csv").read_text(encoding="utf-8-sig").splitlines()))
    assert {row["Tool"] for row in rows} == {"offbus"}
    assert sorted(int(row["Line"]) for row in rows) == sorted(one.where.line for one in found)
    assert (
        {row["Severity"] for row in rows} == {one.severity.value for one in found} == {Severity.ERROR.value}
    )
    assert {row["Code"] for row in rows} == {one.code.value for one in found}
