"""CI's guard against processes that outlive what started them."""

import subprocess
import sys
from pathlib import Path

import pytest


def guarded(repository: Path, *command: str) -> "subprocess.CompletedProcess[str]":
    """Run a shell command under the guard, with hardly any grace."""
    guard = [sys.executable, str(repository / ".ci" / "no_leftovers.py"), "--grace=0.2"]
    return subprocess.run([*guard, *command], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("code", [0, 3])
def test_the_commands_own_exit_status_is_passed_on(repository: Path, code: int) -> None:
    assert guarded(repository, "sh", "-c", f"exit {code}").returncode == code


def test_a_process_in_a_session_of_its_own_is_found_named_and_ended(repository: Path) -> None:
    done = guarded(repository, "sh", "-c", "setsid sleep 4711 >/dev/null 2>&1 & exit 0")
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.endswith("sleep 4711")
    pid = line.removeprefix("no_leftovers: left behind: ").partition(" ")[0]
    assert not Path("/proc", pid).exists()


def test_what_ends_by_itself_is_fine(repository: Path) -> None:
    assert guarded(repository, "sh", "-c", "true & exit 0").returncode == 0


def test_ci_plays_the_checks_the_drill_and_the_tests(repository: Path) -> None:
    script = repository / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    lines = [line.split() for line in script.read_text().splitlines()]
    assert [words[2] for words in lines if words[:1] == ["part"]] == [
        "check",
        "drill",
        "torture",
        "fuzz",
        "test-cluster",
        "test-all",
    ]


def test_its_part_of_the_cluster_s_tests_is_the_lone_server_s_and_the_real_cluster_s(
    repository: Path,
) -> None:
    command = ["make", "--dry-run", "test-cluster", "SHORT=1"]
    said = subprocess.run(
        command, cwd=repository, capture_output=True, text=True, check=True, timeout=60
    ).stdout
    lone, real = (line for line in said.splitlines() if "-m pytest" in line)
    assert "tests/kubernetes --ignore=tests/kubernetes/real" in lone
    assert "tests/cluster tests/kubernetes/real" in real
    assert "not long" in lone
    assert "not long" in real
