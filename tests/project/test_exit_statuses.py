"""Every exit status of offbus's programs is of `offbus.exits`: no other place has the numbers.

Where it cannot be imported, the numbers stand again, and are compared: the agent does not know the engine, and a Ctrl-C
may come while the engine's modules are still being imported.
"""

import ast
from collections.abc import Iterator

import pytest

from offbus import entrypoint
from offbus.exits import PRECEDENCE, Exit
from offbus_agent import __main__ as agent
from tests.kits import REPOSITORY

PACKAGES = ("engine/offbus", "steps/offbus_steps", "agent/offbus_agent", "sandbox/offbus_sandbox")
EXITS = {"exit", "_exit", "SystemExit", "Exit"}


def numbers(tree: ast.Module) -> Iterator[int]:
    """The lines where a number is an exit status: of sys.exit(…) and its kind, returned by `main`, or named `code`."""
    for node in ast.walk(tree):
        given: list[ast.expr | None] = []
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            given = [*node.args[:1]] if name in EXITS else []
        elif isinstance(node, ast.FunctionDef) and node.name == "main":
            given = [one.value for one in ast.walk(node) if isinstance(one, ast.Return)]
        elif isinstance(node, ast.Assign) and [getattr(one, "id", "") for one in node.targets] == ["code"]:
            given = [node.value]
        yield from (one.lineno for one in given if isinstance(one, ast.Constant) and type(one.value) is int)


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_has_a_status_of_its_own(package: str) -> None:
    found = [
        f"{path.relative_to(REPOSITORY)}:{line}"
        for path in sorted((REPOSITORY / package).rglob("*.py"))
        for line in numbers(ast.parse(path.read_text()))
    ]
    assert found == []


def test_the_numbers_that_cannot_be_imported_are_the_same() -> None:
    assert entrypoint.INTERRUPTED == Exit.INTERRUPTED
    assert (agent.INVALID, agent.COULD_NOT_RUN) == (Exit.INVALID, Exit.COULD_NOT_RUN)


def test_the_documents_have_the_precedence() -> None:
    listed = ", ".join(str(one.value) for one in PRECEDENCE if one not in (Exit.INVALID, Exit.PASSED))
    assert f"the first of **{listed}** wins" in (REPOSITORY / "docs/exit-codes.md").read_text()
