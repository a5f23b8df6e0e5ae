"""The one list: malformed lines are refused with their place, and the docs show what it says."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.kits.shim.shim_build import SHIM


def generate(kind: str, path: Path) -> "subprocess.CompletedProcess[str]":
    """Run the generator."""
    return subprocess.run([sys.executable, SHIM / "generate.py", kind, path], capture_output=True, text=True)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("cuInit init", "expected `name class device [trait]`"),
        ("cudaMalloc alloc ctx", "expected `name class device [trait]`"),
        ("cuInit start all", "unknown class 'start'"),
        ("cuInit init somewhere", "device 'somewhere'"),
        ("cuInit init dev7", "device 'dev7'"),
        ("cuInit init all often", "trait 'often'"),
        ("cuInit init all\ncuInit init all", "listed twice: cuInit"),
    ],
)
def test_a_malformed_list_is_refused(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "functions.def"
    path.write_text(f"# a comment\n{line}\n", encoding="ascii")
    done = generate("table", path)
    assert done.returncode == 1
    assert str(path) in done.stderr
    assert message in done.stderr


def test_the_table_in_the_docs_is_that_of_the_list() -> None:
    made = generate("docs", SHIM / "functions.def").stdout
    assert made in (SHIM.parent / "docs/shim.md").read_text(encoding="utf-8")


def test_names_are_told_apart_by_what_a_record_keeps_of_them() -> None:
    """A record has 48 bytes with the closing NUL: a few long names are cut."""
    lines = (SHIM / "functions.def").read_text(encoding="ascii").splitlines()
    names = [line.split()[0] for line in lines if line and line[0] != "#"]
    assert len({name[:47] for name in names}) == len(names)
