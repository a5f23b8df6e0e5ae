"""A finding's code is one of an enumeration: mypy refuses a misspelt one where the finding is noted."""

import re
import subprocess
import sys
from pathlib import Path

from tests.kits import REPOSITORY

NOTED = """\
from offbus.findings.codes import Code
from offbus.findings.model import Finding, Position
from offbus.language.syntax.positions import Positions

def note(positions: Positions, where: Position) -> None:
    positions.note(Code.NOT_YAML, "it is right", where)
    positions.note(Code.NOT_YML, "it is misspelt", where)
    positions.note("OB102", "it is a text", where)
    Finding(code=Code.NOT_YAML, message="it is right", where=where)
    Finding(code=Code.NOT_YML, message="it is misspelt", where=where)
    Finding(code="OB102", message="it is a text", where=where)
"""


def test_only_a_code_of_the_enumeration_can_be_noted(tmp_path: Path) -> None:
    file = tmp_path / "noted.py"
    file.write_text(NOTED)
    command = [sys.executable, "-m", "mypy", "--config-file", str(REPOSITORY / "pyproject.toml"), str(file)]
    ran = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    wrong = [
        number for number, line in enumerate(NOTED.splitlines(), 1) if "misspelt" in line or "text" in line
    ]
    # mypy's cache may name the file of an earlier run with the same text
    found = re.findall(rf"{file.name}:([0-9]+): error: (.*)", ran.stdout)
    assert [int(number) for number, _ in found] == wrong, ran.stdout + ran.stderr
    assert all('"NOT_YML"' in said or 'expected "Code"' in said for _, said in found), found
