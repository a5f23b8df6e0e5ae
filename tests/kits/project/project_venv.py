"""Virtual environments of a test's own, and the checkout."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.kits import REPOSITORY

__all__ = ["DATABASE", "EXAMPLE", "REPOSITORY", "Venv", "make_venv", "pip_install"]

EXAMPLE = REPOSITORY / "tests" / "project" / "example_plugin"
"""The package of docs/extend.md."""
DATABASE = REPOSITORY / "tests" / "project" / "example_database"
"""A package about something else, with words of its own."""


def plain_environment(state: Path, bin_folder: Path) -> dict[str, str]:
    """The environment of a user who has nothing set, with run folders below `state`."""
    kept = {name: os.environ[name] for name in ("LANG", "TMPDIR", "HOME") if name in os.environ}
    path = f"{bin_folder}{os.pathsep}{os.environ['PATH']}"
    return {**kept, "PATH": path, "XDG_STATE_HOME": str(state), "COLUMNS": "100", "PYTHONWARNINGS": "error"}


class Venv:
    """A virtual environment; what is run in it sees none of our settings."""

    def __init__(self, folder: Path, state: Path) -> None:
        self.bin = folder / "bin"
        self._environment = plain_environment(state, self.bin)

    def run(self, *command: str, cwd: Path, code: int = 0) -> "subprocess.CompletedProcess[str]":
        """Run a command of it to its end and hold its exit status."""
        running = self.start(*command, cwd=cwd)
        out, err = running.communicate(timeout=100)
        assert running.returncode == code, f"{command}: {running.returncode}\n{out}\n{err}"
        return subprocess.CompletedProcess(command, running.returncode, out, err)

    def shell(self, line: str, *, cwd: Path, code: int = 0) -> "subprocess.CompletedProcess[str]":
        """Run a line of a shell, with its commands on the path, and hold the exit status of the last one."""
        done = subprocess.run(
            ["sh", "-c", line],
            cwd=cwd,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == code, f"{line}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def start(self, *command: str, cwd: Path) -> "subprocess.Popen[str]":
        """Start a command of it; one without a script, because only its package is seen, as a module."""
        script = self.bin / command[0]
        start = [str(script)] if script.exists() else [str(self.bin / "python"), "-m", command[0]]
        return subprocess.Popen(
            [*start, *command[1:]],
            cwd=cwd,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


def make_venv(folder: Path) -> None:
    """Make a virtual environment with pip."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=100)


def pip_install(venv: Path, arguments: Sequence[str]) -> None:
    """Install into it."""
    command = [str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*command, *arguments], check=True, timeout=300)
