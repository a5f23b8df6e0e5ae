"""The pages are true: their commands run, their generated parts are current, their words are the program's.

A block that begins with ```console run is played: each `$` line is a command, its exit status is 0 (or that of
`exit=N`), and every line shown below it occurs in its output, in that order. Spaces do not count, and `…` stands for
anything. A line with a pipe is the shell's. `run=example` plays in a folder with the example package's scenario, where
that package is installed.
"""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.kits.project.project_venv import EXAMPLE, REPOSITORY, Venv

BLOCK = re.compile(
    r"^```console run(?:=(?P<where>\w+))?(?: exit=(?P<code>\d+))?\n(?P<text>.*?)^```",
    re.MULTILINE | re.DOTALL,
)
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("**/*.md"))]


@dataclass(slots=True)
class Shown:
    """A command that a page shows."""

    where: str
    code: int
    command: str
    lines: list[str] = field(default_factory=list)


def shown(page: Path) -> Iterator[Shown]:
    """The commands of a page that are to be run."""
    for block in BLOCK.finditer(page.read_text(encoding="utf-8")):
        commands: list[Shown] = []
        for line in block["text"].splitlines():
            if line.startswith("$ "):
                commands.append(Shown(block["where"] or "checkout", int(block["code"] or 0), line[2:]))
            elif line.strip():
                commands[-1].lines.append(line)
        yield from commands


EXAMPLES = [(page, one) for page in PAGES for one in shown(page)]


def pattern(line: str) -> str:
    """A shown line as a regular expression over output whose spaces were squeezed."""
    return ".*".join(re.escape(" ".join(part.split())) for part in line.split("…"))


@pytest.mark.parametrize(
    ("page", "one"), EXAMPLES, ids=[f"{page.stem}: {one.command}" for page, one in EXAMPLES]
)
def test_a_command_of_a_page_does_what_the_page_shows(
    page: Path, one: Shown, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder, venv = REPOSITORY, Path(sys.prefix)
    if one.where == "example":
        folder, venv = tmp_path, request.getfixturevalue("example_venv")
        shutil.copy(EXAMPLE / "greeting.yaml", tmp_path)
    played = Venv(venv, tmp_path / "state")
    if "|" in one.command:
        done = played.shell(one.command, cwd=folder, code=one.code)
    else:
        done = played.run(*shlex.split(one.command), cwd=folder, code=one.code)
    output = " ".join((done.stdout + done.stderr).split())
    wanted = ".*?".join(map(pattern, one.lines))
    assert re.search(wanted, output), (
        f"{page.name} shows {one.lines}, the command says:\n{done.stdout}{done.stderr}"
    )


def test_some_commands_are_played() -> None:
    assert {page.stem for page, _ in EXAMPLES} >= {"getting-started", "extend"}


def test_generated_pages_and_schemas_are_current(repository: Path) -> None:
    command = [sys.executable, "docs/generate.py", "--check"]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_command_is_documented(repository: Path) -> None:
    from offbus.cli.main import BUILT_IN
    from offbus.plugins import COMMANDS, installed

    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    commands = [*BUILT_IN, *installed().names(COMMANDS)]
    assert [name for name in commands if f"offbus {name}" not in text] == []


def test_the_readmes_two_commands_exist(repository: Path) -> None:
    readme = (repository / "README.md").read_text(encoding="utf-8")
    for target in ("drill", "test"):
        assert f"make {target}" in readme
        done = subprocess.run(
            ["make", "--dry-run", target], cwd=repository, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
