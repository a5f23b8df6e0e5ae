"""Programs that nobody here wrote, unmodified, from their packages: each in an environment of its own.

Environments are made once and kept below OFFBUS_TEST_CACHE (default: the user's cache folder), because making one
downloads packages; the downloads are pip's and npm's own. Without a network, or without npm, the tests say so and are
skipped.
"""

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

__all__ = ["npm_program", "python_of"]

CACHE = Path(os.environ.get("OFFBUS_TEST_CACHE") or Path.home() / ".cache/offbus-tests")


def python_of(*packages: str) -> Path:
    """The Python of an environment that has the packages, made when it is not there yet."""
    name = "-".join(package.replace("==", "-") for package in packages)
    folder = CACHE / f"{name}-py{sys.version_info.major}{sys.version_info.minor}"
    python, done = folder / "bin/python", folder / "done"
    if done.exists():
        return python
    venv.create(folder, with_pip=True, clear=True)
    command = [python, "-m", "pip", "install", "--quiet", *packages]
    _install([str(word) for word in command], ", ".join(packages))
    done.touch()
    return python


def npm_program(package: str, version: str) -> list[str]:
    """How the program of an npm package is started, whose name is the package's."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        pytest.skip(f"{package}: npm and node are not installed")
    folder = CACHE / f"npm-{package}-{version}"
    if not (folder / "done").exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = [npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder)]
        _install([*command, f"{package}@{version}"], package)
        (folder / "done").touch()
    return [node, str((folder / "node_modules" / ".bin" / package).resolve())]


def _install(command: list[str], what: str) -> None:
    installed = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if installed.returncode != 0:
        pytest.skip(f"{what}: cannot be installed here: {installed.stderr.strip()[-300:]}")
