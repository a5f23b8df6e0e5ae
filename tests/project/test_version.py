"""One version, told everywhere the same."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

from offbus import __version__


def test_the_installed_version_is_the_sources(repository: Path) -> None:
    assert version("offbus") == __version__, "run make again: the installed metadata are of another version"


def test_the_command_tells_it() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "offbus", "--version"], capture_output=True, text=True, check=True
    )
    assert re.search(rf"\b{re.escape(__version__)}\b", told.stdout)


def test_the_changelog_knows_it(repository: Path) -> None:
    headings = re.findall(r"^## (\S+)", (repository / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert __version__ in headings[:2], "the newest release, below what is not released yet"


def test_the_licence_is_the_one_that_is_declared(repository: Path) -> None:
    declared = tomllib.loads((repository / "pyproject.toml").read_text())["project"]["license"]
    text = (repository / "LICENSE").read_text()
    assert declared == "Apache-2.0"
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
