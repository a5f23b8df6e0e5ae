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
MODELS = {"anyio", "asyncio", "cel_expr_python", "hashlib", "pydantic", "unicodedata", "yaml"}
"""Needed to check a scenario, not to show help."""


def imported(repository: Path, *arguments: str) -> set[str]:
    """The top-level modules that a command imports."""
    command = [sys.executable, "-X", "importtime", "-m", "offbus", *arguments]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = (line for line in done.stderr.splitlines() if line.startswith("import time:"))
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], ["run", "--help"], ["recover", "--help"], ["init", "--help"]],
    ids=" ".join,
)
def test_help_imports_nothing_heavy(repository: Path, arguments: list[str]) -> None:
    found = imported(repository, *arguments)
    assert "click" in found, "the modules are seen at all"
    assert found & (HEAVY | MODELS) == set()


def test_validate_imports_no_client_and_no_server(repository: Path) -> None:
    found = imported(repository, "validate", "scenarios/xid79.yaml")
    assert "yaml" in found, "the modules are seen at all"
    assert found & HEAVY == set()


CLIENT = """
import sys
from offbus_steps.kubernetes.rest.lean_client import client
found = client()
assert client() is found
assert not [one for one in sys.modules if one.startswith("kubernetes_asyncio")], "all is as it was"
print("parts", file=sys.stderr, flush=True)
import kubernetes_asyncio
assert kubernetes_asyncio.client.CoreV1Api and kubernetes_asyncio.client.models.V1Pod
assert kubernetes_asyncio.config.load_kube_config
"""


def run(program: str, *flags: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, *flags, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_of_the_kubernetes_client_only_what_is_used_is_loaded_and_others_still_get_all_of_it() -> None:
    """Its API classes would take half a second of every command, and 38 MiB of every runner."""
    first, _, later = run(CLIENT, "-X", "importtime").stderr.partition("parts\n")
    api, model = "kubernetes_asyncio.client.api.core_v1_api", "kubernetes_asyncio.client.models.v1_pod"
    assert "kubernetes_asyncio.config.kube_config" in first
    assert api not in first
    assert model not in first
    assert api in later
    assert model in later


NEEDS_ITS_PACKAGE = """
import sys
class Finder:
    def find_spec(self, name, path, target=None):
        package = sys.modules.get("kubernetes_asyncio.client")
        if name == "kubernetes_asyncio.client.api_client" and not hasattr(package, "__file__"):
            raise ImportError("this version needs its package initialised")
sys.meta_path.insert(0, Finder())
"""


@pytest.mark.parametrize(
    "before",
    ["import kubernetes_asyncio.client", NEEDS_ITS_PACKAGE],
    ids=["imported by somebody else", "built in another way"],
)
def test_where_its_parts_cannot_be_loaded_alone_all_of_the_client_is(before: str) -> None:
    program = f"""
from offbus_steps.kubernetes.rest import lean_client as client
{before}
found = client.client()
import kubernetes_asyncio.client as whole
assert found.configuration is whole.Configuration
assert found.api_client is whole.ApiClient
assert whole.CoreV1Api
"""
    run(program)
