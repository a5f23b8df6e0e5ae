"""Commands import what they use: what makes a cold start slow is held by name here, not by a clock."""

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {
    "aiohttp",
    "httpx",
    "jsonschema",
    "kubernetes_asyncio",
    "rich",
    "starlette",
    "structlog",
    "uvicorn",
}
"""Never imported to show help or to check a scenario."""
MODELS = {"anyio", "asyncio", "cel_expr_python", "pydantic", "yaml"}
"""Needed to check a scenario, not to show help."""


def imported(repository: Path, *arguments: str) -> set[str]:
    """The top-level modules that a command imports."""
    command = [sys.executable, "-X", "importtime", "-m", "offbus", *arguments]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = (line for line in done.stderr.splitlines() if line.startswith("import time:"))
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["run", "--help"], ["recover", "--help"]], ids=" ".join
)
def test_help_imports_nothing_heavy(repository: Path, arguments: list[str]) -> None:
    found = imported(repository, *arguments)
    assert "click" in found, "the modules are seen at all"
    assert found & (HEAVY | MODELS) == set()


def test_validate_imports_no_client_and_no_server(repository: Path) -> None:
    found = imported(repository, "validate", "scenarios/xid79.yaml")
    assert "yaml" in found, "the modules are seen at all"
    assert found & HEAVY == set()
