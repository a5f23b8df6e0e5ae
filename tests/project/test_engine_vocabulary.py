"""The engine knows nothing of what it acts on: no word of clusters and GPUs is in its code, comments or texts."""

import re
from collections.abc import Iterator

import pytest

from tests.kits import REPOSITORY

ENGINE = REPOSITORY / "engine" / "offbus"
DOMAIN = re.compile(r"(?i:cordon|xid|gpu|kubernetes|nvidia)|(?<![A-Za-z])([Pp]ods?(?![a-z])|PODS?)")
NODE = re.compile(r"(?<![A-Za-z])([Nn]odes?(?![a-z])|NODES?)")
"""A word ends at an underscore or a capital: `node_width` and `NodeView` count."""

ALLOWED = {
    "__init__.py": "what the product is, and that the engine knows nothing of it",
    "cli/main.py": "the program's own help: what the product is, and the scenarios that are shipped",
    "cli/commands/matrix.py": "examples in --help, with the scenarios that are shipped",
    "cli/commands/plan.py": "examples in --help, with the scenarios that are shipped",
    "cli/commands/recover.py": "examples in --help",
    "cli/commands/run.py": "examples in --help, with the scenarios that are shipped",
    "cli/commands/validate.py": "examples in --help",
}
"""File -> why it may name the domain. Each has to."""
TREES = ("language/",)
"""Folders in which a node is one of a YAML file's tree."""


def said(text: str, pattern: re.Pattern[str]) -> list[str]:
    """The lines that match, with their numbers."""
    lines = enumerate(text.splitlines(), start=1)
    return [f"{number}: {line.strip()}" for number, line in lines if pattern.search(line)]


def found() -> Iterator[tuple[str, list[str]]]:
    """Each file that says such a word, with the lines."""
    for path in sorted(ENGINE.rglob("*.py")):
        name, text = path.relative_to(ENGINE).as_posix(), path.read_text(encoding="utf-8")
        lines = said(text, DOMAIN) + ([] if name.startswith(TREES) else said(text, NODE))
        if lines:
            yield name, lines


def test_no_file_of_the_engine_names_what_it_acts_on() -> None:
    assert {name: lines for name, lines in found() if name not in ALLOWED} == {}


def test_what_is_allowed_is_needed() -> None:
    assert {name for name, _ in found()} == set(ALLOWED)


@pytest.mark.parametrize(
    "text", ["uncordons", "XID 79", "gpus", "Pod/a", "pod_of", "node_width", "NodeView", "NODES"]
)
def test_such_words_are_seen(text: str) -> None:
    assert said(text, DOMAIN) + said(text, NODE)


@pytest.mark.parametrize("text", ["podium", "anode", "tripod"])
def test_and_no_others(text: str) -> None:
    assert not said(text, DOMAIN) + said(text, NODE)
