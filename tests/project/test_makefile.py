"""`make` on a bare machine: one clear line when something is missing, and no work twice."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

VENV = ".venv/stamps/venv"


def make(
    repository: Path, folder: Path, *arguments: str, path: str | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run this Makefile in a folder of its own."""
    command = ["make", "-f", str(repository / "Makefile"), *arguments]
    environment = {"PATH": path or os.environ["PATH"], "HOME": str(folder)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=100)


@pytest.fixture
def folder(tmp_path: Path, repository: Path) -> Path:
    """A checkout without anything in it, below a folder with a space in its name."""
    place = tmp_path / "a checkout"
    (place / "shim").mkdir(parents=True)
    shutil.copy(repository / "Makefile", place)
    return place


def test_alone_it_lists_what_it_can_do(repository: Path, folder: Path) -> None:
    listed = make(repository, folder).stdout
    for target in ("drill", "test", "check", "bench", "clean"):
        assert f"make {target} " in listed


def test_every_target_that_stands_for_a_command_is_listed(repository: Path, folder: Path) -> None:
    text = (repository / "Makefile").read_text()
    phony = next(line for line in text.splitlines() if line.startswith(".PHONY:")).split()[1:]
    listed = make(repository, folder, "help").stdout
    assert [target for target in phony if f"make {target} " not in listed] == []


def test_no_compiler_is_one_clear_line(repository: Path, folder: Path) -> None:
    told = make(repository, folder, VENV, "CC=no-such-compiler")
    assert told.returncode == 2
    assert told.stderr.splitlines()[0] == (
        "offbus: C compiler not found: no-such-compiler; install one (Debian, Ubuntu: apt install gcc)"
    )


def interpreter(folder: Path, name: str, body: str) -> str:
    """A program that stands in for a Python of another kind; the PATH on which only it is found."""
    tools = folder / "tools"
    tools.mkdir()
    for tool in ("sh", "cc", "find", "mkdir", "touch"):
        (tools / tool).symlink_to(shutil.which(tool) or tool)
    program = tools / name
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    return str(tools)


def test_an_old_python_is_one_clear_line(repository: Path, folder: Path) -> None:
    path = interpreter(
        folder, "python3", "exit 1  # what a Python 3.10 answers to the question for its version"
    )
    told = subprocess.run(
        [shutil.which("make") or "make", VENV], cwd=folder, env={"PATH": path}, capture_output=True, text=True
    )
    assert told.returncode == 2
    assert "Python 3.11 or newer not found" in told.stderr.splitlines()[0]


def test_no_venv_module_is_one_clear_line(repository: Path, folder: Path) -> None:
    """Debian's python3 without python3-venv has no ensurepip."""
    path = interpreter(folder, "python3", 'case "$2" in *ensurepip*) exit 1;; esac')
    told = subprocess.run(
        [shutil.which("make") or "make", VENV], cwd=folder, env={"PATH": path}, capture_output=True, text=True
    )
    assert told.returncode == 2
    assert "has no venv module" in told.stderr.splitlines()[0]


def test_the_environment_is_made_once(repository: Path, folder: Path) -> None:
    assert make(repository, folder, VENV).returncode == 0
    again = make(repository, folder, VENV)
    assert "up to date" in again.stdout


@pytest.mark.parametrize(
    ("touched", "remade"),
    [
        ("pyproject.toml", {"run"}),
        ("shim/shim.c", {"native"}),
        ("README.md", set()),
    ],
    ids=["packaging", "a C source", "prose"],
)
def test_a_change_redoes_what_depends_on_it_and_no_more(
    repository: Path, folder: Path, touched: str, remade: set[str]
) -> None:
    for name in (
        "pyproject.toml",
        "README.md",
        "shim/shim.c",
        "shim/hatch_build.py",
        "engine/offbus/__init__.py",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    stamps = folder / ".venv" / "stamps"
    stamps.mkdir(parents=True)
    for number, stamp in enumerate(("venv", "run", "native")):
        (stamps / stamp).touch()
        os.utime(stamps / stamp, (2_000_000_000 + number,) * 2)
    os.utime(folder / touched, (2_100_000_000,) * 2)
    asked = {
        stamp
        for stamp in ("run", "native")
        if make(repository, folder, "-q", f".venv/stamps/{stamp}").returncode
    }
    assert asked == remade
