"""A journal that somebody else wrote may hold anything in its texts: none of it drives a terminal or a CI log."""

import re
from collections.abc import Iterator
from copy import deepcopy
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any
from unicodedata import category

import pytest

from offbus.journal.codec import DamagedLine, checked, decode, encode
from offbus.runs import RunFolder
from tests.cli.conftest import Offbus
from tests.kits.cli.drill_journal import failing, killed, passing

ESCAPE = "\x1b]0;pwned\x07\x1b[2J\x9b31m"
AGENTS = "a##vso[task.prependpath]/x ##teamcity[x] ###vso[x]"
COMMAND = f"\n::error file=a::pwned\n##[error]pwned {AGENTS}\r::stop-commands::x\u2028::error::\u2029"
REVERSED = "\u202epwned\u2066\ufeff"
EVIL = f"::error::{ESCAPE}{COMMAND}{REVERSED}"
OBEYED = re.compile(r"##[\w.]*\[")
"""Anywhere in a line: GitHub's and Azure Pipelines' agents (`##vso[`), TeamCity."""
HOSTILE = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))
FREE = ("record", "evidence", "outputs", "state", "items", "planes", "versions")
"""Where the keys are anybody's choice, too."""


def texts(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of each text in JSON."""
    if isinstance(value, str):
        yield path
    items: Any = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, one in items:
        yield from texts(one, (*path, key))


def hostile(event: Any) -> Any:
    """The event, as many of its texts spoilt as its format allows; the same text always in the same way."""
    for path in texts(event):
        *parents, last = path
        changed = deepcopy(event)
        parent = reduce(getitem, parents, changed)
        parent[last] = EVIL + parent[last] + EVIL
        try:
            event = checked(changed)
        except DamagedLine:
            continue
    for name in FREE:
        if isinstance(event["data"].get(name), dict):
            event["data"][name] = {EVIL: EVIL, **event["data"][name]}
    return event


@pytest.fixture(params=[passing, failing, killed], ids=["passing", "failing", "killed"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> RunFolder:
    """A run's folder whose journal is as hostile as a valid one can be."""
    drill, _ = request.param(tmp_path)
    events = [hostile(decode(line)) for line in drill.folder.journal.read_bytes().splitlines(keepends=True)]
    drill.folder.journal.write_bytes(b"".join(map(encode, events)))
    drill.folder.unfinished.touch()
    found: RunFolder = drill.folder
    return found


def harmless(text: str) -> None:
    """Neither a character that a terminal obeys, nor a line that a CI system obeys."""
    assert {one for one in text if one != "\n" and category(one) in HOSTILE} == set()
    assert [one for one in text.split("\n") if one.lstrip().startswith("::") or OBEYED.search(one)] == []


@pytest.mark.guarantee("G25")
@pytest.mark.parametrize(
    "command",
    [
        ["report"],
        ["report", "--format", "json"],
        ["report", "--format", "markdown"],
        ["recover", "--plan"],
        ["recover"],
        ["residue"],
        ["stop"],
    ],
    ids=" ".join,
)
def test_nothing_in_a_journal_drives_the_terminal(
    folder: RunFolder, offbus: Offbus, command: list[str]
) -> None:
    done = offbus(command[0], str(folder.path), *command[1:])
    harmless(done.stdout)
    harmless(done.stderr)
    assert "internal error" not in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout + done.stderr


def test_colours_are_our_own(folder: RunFolder, offbus: Offbus) -> None:
    done = offbus("report", str(folder.path), env={"FORCE_COLOR": "1", "NO_COLOR": ""})
    for code in ("\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[1;31m", "\x1b[32m", "\x1b[33m"):
        done.stdout = done.stdout.replace(code, "")
    harmless(done.stdout)


@pytest.mark.parametrize("name", ["name", "describe", "detail", "subject", "to", "text", "function"])
def test_these_texts_of_a_journal_can_be_anything(tmp_path: Path, name: str) -> None:
    """That the fixture is what it says."""
    drill, _ = failing(tmp_path)
    events = [hostile(decode(line)) for line in drill.folder.journal.read_bytes().splitlines(keepends=True)]
    spoilt = [reduce(getitem, path, event) for event in events for path in texts(event) if path[-1] == name]
    assert any(EVIL in one for one in spoilt)
