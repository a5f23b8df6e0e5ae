"""What is in the repository is fit to be published."""

import os
import re
import subprocess
from pathlib import Path

import pytest


def grep(repository: Path, *arguments: str) -> list[str]:
    """The matching lines of tracked text files."""
    command = ["git", "grep", "-nI", *arguments, "--", ".", ":!LICENSE"]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=60)
    assert done.returncode in (0, 1), done.stderr
    return done.stdout.splitlines()


@pytest.fixture(scope="module", autouse=True)
def _a_checkout(repository: Path) -> None:
    if not (repository / ".git").exists():
        pytest.skip("not a git checkout: an unpacked source archive")


def test_no_path_of_the_machine_that_it_was_written_on(repository: Path) -> None:
    home = os.path.expanduser("~")  # noqa: PTH111  the string is wanted, with its slash below
    assert grep(repository, "-F", "-e", f"{repository}/", "-e", f"{home}/") == []


def test_no_download_address(repository: Path) -> None:
    """Registries are the user's choice, in pip's own settings."""
    assert grep(repository, "-E", "-e", "--(extra-)?index-" + "url", "-e", "GOPROXY=https" + "?:") == []


def test_no_two_test_files_have_one_name(repository: Path) -> None:
    """pytest refuses to collect the second one, unless each is run alone: their folders are no packages."""
    names = [path.name for path in sorted((repository / "tests").rglob("test_*.py"))]
    assert sorted({name for name in names if names.count(name) > 1}) == []


def test_no_secret(repository: Path) -> None:
    key = "BEGIN [A-Z ]*PRIVATE " + "KEY"
    assert grep(repository, "-E", "-e", key) == []


def test_relative_links_lead_somewhere(repository: Path) -> None:
    """Links of all pages; addresses outside and anchors are not followed."""
    pages = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    links = [
        (page, target.partition("#")[0])
        for page in pages
        if (repository / page).exists()
        for target in re.findall(r"\]\(([^)\s]+)\)", (repository / page).read_text())
        if not re.match(r"[a-z]+:|#", target)
    ]
    assert links, "there are links at all"
    assert [(page, to) for page, to in links if not (repository / page).parent.joinpath(to).exists()] == []
