"""Programs that nobody here wrote, unmodified, from their packages: each in an environment of its own.

Environments are made once and kept below OFFBUS_TEST_CACHE (default: the user's cache folder), because making one
downloads packages; the downloads are pip's own. Without a network the tests say so and are skipped.
"""

import os
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

CACHE = Path(os.environ.get("OFFBUS_TEST_CACHE") or Path.home() / ".cache/offbus-tests")
Client = Callable[..., Path]


@pytest.fixture(scope="session")
def client() -> Client:
    """Answers the Python of an environment that has the packages, made when it is not there yet."""

    def make(*packages: str) -> Path:
        name = "-".join(package.replace("==", "-") for package in packages)
        folder = CACHE / f"{name}-py{sys.version_info.major}{sys.version_info.minor}"
        python, done = folder / "bin/python", folder / "done"
        if done.exists():
            return python
        venv.create(folder, with_pip=True, clear=True)
        command = [python, "-m", "pip", "install", "--quiet", *packages]
        installed = subprocess.run(command, capture_output=True, text=True)
        if installed.returncode != 0:
            pytest.skip(f"{', '.join(packages)}: cannot be installed here: {installed.stderr.strip()[-300:]}")
        done.touch()
        return python

    return make
