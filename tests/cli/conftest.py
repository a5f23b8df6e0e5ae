"""CLI tests run the real command in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kits.cli.left_runs import LONG, Commands

Offbus = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def offbus(tmp_path: Path) -> Offbus:
    """Run `offbus` with its state below tmp_path."""

    def call(
        *arguments: str | Path, env: dict[str, str] | None = None, **more: Any
    ) -> "subprocess.CompletedProcess[str]":
        environment = os.environ | {"XDG_STATE_HOME": str(tmp_path / "state"), "NO_COLOR": "1"} | (env or {})
        return subprocess.run(
            [sys.executable, "-m", "offbus", *map(str, arguments)],
            env=environment,
            cwd=more.pop("cwd", tmp_path),
            capture_output=True,
            text=True,
            timeout=60,
            **more,
        )

    return call


@pytest.fixture
def commands(tmp_path: Path) -> Commands:
    return Commands(tmp_path)


@pytest.fixture
def started(commands: Commands) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Start runs that are ended after the test, whatever happens."""
    processes: list[subprocess.Popen[str]] = []

    def start(*arguments: object) -> "subprocess.Popen[str]":
        processes.append(commands.start(*arguments))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate(timeout=LONG)
