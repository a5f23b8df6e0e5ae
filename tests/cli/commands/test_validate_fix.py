"""`offbus validate --fix` on files: replaced whole or not at all, and never another file than the one that is named."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

WRONG = """\
offbus: 1
name: drill   # short
sumary: y
steps:
  - {id: a, uses: deplay, with: {manifest: x.yaml}}
"""
FIXED = WRONG.replace("sumary", "summary").replace("deplay", "deploy")
TARGET = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: a}
spec:
  selector: {matchLabels: {app: a}}
  template:
    metadata: {labels: {app: a}}
    spec: {containers: [{name: a, image: a}]}
"""


def offbus(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "offbus", "validate", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "x.yaml").write_text(TARGET)
    (tmp_path / "drill.yaml").write_text(WRONG)
    return tmp_path


def test_it_says_what_it_has_fixed_and_keeps_the_mode(folder: Path) -> None:
    file = folder / "drill.yaml"
    file.chmod(0o640)
    ran = offbus("drill.yaml", "--fix", cwd=folder)
    assert ran.stdout.splitlines() == [
        "fixed drill.yaml:3:1: OB202: the scenario has no key 'sumary'",
        "fixed drill.yaml:5:19: OB302: there is no step type 'deplay'",
        "ok: drill, 1 step",
    ]
    assert (ran.returncode, ran.stderr) == (0, "")
    assert file.read_text() == FIXED
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert sorted(one.name for one in folder.iterdir()) == ["drill.yaml", "x.yaml"]


def test_a_second_time_nothing_is_written(folder: Path) -> None:
    offbus("drill.yaml", "--fix", cwd=folder)
    before = (folder / "drill.yaml").stat()
    ran = offbus("drill.yaml", "--fix", cwd=folder)
    assert ran.stdout == "ok: drill, 1 step\n"
    assert (folder / "drill.yaml").stat().st_ino == before.st_ino


def test_diff_shows_what_it_would_do(folder: Path) -> None:
    ran = offbus("drill.yaml", "--fix", "--diff", cwd=folder)
    assert ran.stdout.splitlines() == [
        "--- drill.yaml",
        "+++ drill.yaml (fixed)",
        "@@ -1,5 +1,5 @@",
        " offbus: 1",
        " name: drill   # short",
        "-sumary: y",
        "+summary: y",
        " steps:",
        "-  - {id: a, uses: deplay, with: {manifest: x.yaml}}",
        "+  - {id: a, uses: deploy, with: {manifest: x.yaml}}",
    ]
    assert ran.returncode == 2, "as it is, the file is wrong"
    assert (folder / "drill.yaml").read_text() == WRONG
    (folder / "drill.yaml").write_text(FIXED)
    ran = offbus("drill.yaml", "--fix", "--diff", cwd=folder)
    assert (ran.returncode, ran.stdout) == (0, "")


def test_what_is_left_is_shown_and_the_status_says_so(folder: Path) -> None:
    (folder / "drill.yaml").write_text(WRONG + "  - {id: b, uses: nonsense}\n")
    ran = offbus("drill.yaml", "--fix", "--format", "json", cwd=folder)
    assert ran.returncode == 2
    [result] = json.loads(ran.stdout)
    assert [one["code"] for one in result["fixed"]] == ["OB202", "OB302"]
    assert result["fixed"][1]["fix"] == {
        "line": 5, "column": 19, "end_line": 5, "end_column": 25, "text": "deploy",
    }  # fmt: skip
    assert [(one["code"], one["fix"]) for one in result["findings"]] == [("OB302", None)]


@pytest.mark.parametrize("extra", [[], ["--format", "json", "--fix"]], ids=["alone", "with json"])
def test_diff_wants_fix_and_text(folder: Path, extra: list[str]) -> None:
    ran = offbus("drill.yaml", "--diff", *extra, cwd=folder)
    assert ran.returncode == 2
    assert "--diff goes with --fix, and with no --format but text" in ran.stderr


def test_a_symbolic_link_is_refused(folder: Path) -> None:
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    (folder / "drill.yaml").rename(elsewhere / "real.yaml")
    (folder / "drill.yaml").symlink_to("elsewhere/real.yaml")
    (elsewhere / "x.yaml").write_text(TARGET)
    ran = offbus("drill.yaml", "--fix", cwd=folder)
    assert ran.returncode == 2
    why = f"it is a symbolic link, to {elsewhere / 'real.yaml'}: name that one"
    left = "nothing was written; --fix --diff shows the fixes"
    assert ran.stdout == f"drill.yaml: it cannot be fixed: {why}; {left}\n"
    assert (folder / "drill.yaml").is_symlink()
    assert (elsewhere / "real.yaml").read_text() == WRONG


def test_a_file_of_two_names_is_refused(folder: Path) -> None:
    (folder / "other.yaml").hardlink_to(folder / "drill.yaml")
    ran = offbus("drill.yaml", "--fix", cwd=folder)
    assert ran.returncode == 2
    assert "it has another name, too" in ran.stdout
    assert (folder / "other.yaml").read_text() == (folder / "drill.yaml").read_text() == WRONG


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_disk_that_cannot_be_written_is_no_wrong_use(folder: Path) -> None:
    script = 'mount --bind -o ro "$1" "$1" && cd "$1" && shift && exec "$@"'
    command = [sys.executable, "-m", "offbus", "validate", "drill.yaml", "--fix"]
    ran = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", str(folder), *command],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 3, ran.stdout
    assert "drill.yaml: it cannot be fixed: Read-only file system" in ran.stderr
    assert (folder / "drill.yaml").read_text() == WRONG


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
def test_a_file_that_may_not_be_written_is_refused(folder: Path) -> None:
    (folder / "drill.yaml").chmod(0o440)
    ran = offbus("drill.yaml", "--fix", cwd=folder)
    assert ran.returncode == 2
    assert "it cannot be fixed: Permission denied" in ran.stdout


def test_files_that_cannot_be_read_hold_no_other_back(folder: Path) -> None:
    ran = offbus("missing.yaml", "drill.yaml", "--fix", cwd=folder)
    assert ran.returncode == 2
    assert ran.stdout.splitlines()[0] == "missing.yaml: there is no such file"
    assert (folder / "drill.yaml").read_text() == FIXED
