"""docs/timers.md: every module that waits for time stands there, with what its times are for.

That each lists the tests that are marked with it, and at least one, `docs/generate.py --check` says (test_docs.py).
"""

import ast
import re
from collections.abc import Iterator

import pytest

from tests.kits import REPOSITORY

TEXT = (REPOSITORY / "docs" / "timers.md").read_text(encoding="utf-8")
PLAYED, NOT_PLAYED = TEXT.split("## Not our timers, or without a test")
ROW = re.compile(r"^\| `([\w/.]+)` \| (.*) \|$", re.MULTILINE)
ENTRY = re.compile(r"^\*\*`([\w/.]+)`\*\*: (.*)$", re.MULTILINE)
LISTED = re.compile(r"^<!-- generated: tests of ([\w/.]+) -->$", re.MULTILINE)
PACKAGES = ("engine/offbus", "steps/offbus_steps", "agent/offbus_agent", "sandbox/offbus_sandbox")
CALLS = {
    *("move_on_after", "move_on_at", "fail_after", "fail_at", "wait_for", "timeout"),
    *("sleep", "sleep_until", "call_later", "call_at"),
}
KEYWORDS = {"deadline", "timeout_graceful_shutdown"}


def waits(tree: ast.AST) -> Iterator[str]:
    """The calls that wait for time, or bound something in time."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name in CALLS or KEYWORDS & {keyword.arg for keyword in node.keywords}:
                yield name


def constants(tree: ast.Module) -> Iterator[str]:
    """Names of times in seconds."""
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        names = [target.id for target in targets if isinstance(target, ast.Name)]
        yield from (name for name in names if name.endswith("_S"))


def timed() -> dict[str, set[str]]:
    """Modules with timers: path -> the constants."""
    found = {}
    for package in PACKAGES:
        for path in (REPOSITORY / package).rglob("*.py"):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            names = set(constants(tree))
            if names or any(waits(tree)):
                found[path.relative_to(REPOSITORY).as_posix()] = names
    return found


TIMED = timed()


def told(module: str) -> str:
    """What is said of a module, by hand."""
    said = (*ENTRY.findall(PLAYED), *ROW.findall(NOT_PLAYED))
    return "\n".join(what for path, what in said if path == module)


@pytest.mark.parametrize("module", TIMED)
def test_a_module_that_waits_for_time_stands_on_the_page(module: str) -> None:
    said = told(module)
    assert said, f"{module} has a timer: write it down in docs/timers.md, and mark the test that plays it"
    missing = {name for name in TIMED[module] if f"`{name}`" not in said}
    assert not missing, f"what is said of {module} does not tell of {sorted(missing)}"


def test_each_entry_has_its_list_of_tests() -> None:
    assert [module for module, _ in ENTRY.findall(PLAYED)] == LISTED.findall(PLAYED)


@pytest.mark.parametrize("module", [module for module, _ in ROW.findall(NOT_PLAYED)])
def test_what_is_not_played_exists(module: str) -> None:
    assert (REPOSITORY / module).is_file()


def test_the_search_finds_timers() -> None:
    assert len(TIMED) > 50
    assert TIMED["steps/offbus_steps/kubernetes/rest/api.py"] == {"PATIENCE_S", "ATTEMPT_S", "CONNECT_S"}
