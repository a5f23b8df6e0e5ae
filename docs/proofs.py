"""Which tests show a guarantee (docs/guarantees.md) and which play a timer (docs/timers.md), by markers on the tests.

    @pytest.mark.guarantee("G4")
    @pytest.mark.timer("engine/offbus/runner/undo_runner.py")

A guarantee has a number of its page, a timer the module that waits. Read from the syntax of the tests: nothing is
imported, so that making the pages takes a second.
"""

import ast
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

__all__ = ["MARKERS", "Proof", "ProofError", "proof_text", "proofs", "refuse_unknown"]

MARKERS = ("guarantee", "timer")
LAWS = "tests/engine/test_laws.py"
"""The file whose tests are laws: they hold for thousands of random drills."""


class ProofError(Exception):
    """Raised when a marker names nothing, or nothing is marked; the message says where, and what to do."""


class Proof(NamedTuple):
    """A test that is marked."""

    file: str
    """Relative to the repository."""
    test: str


def proofs(root: Path) -> Mapping[str, list[Proof]]:
    """All marked tests: what they are marked with -> the tests, laws first, then by file. Raises ProofError."""
    found: dict[str, list[Proof]] = {}
    for path in sorted((root / "tests").rglob("test_*.py")):
        text = path.read_text(encoding="utf-8")
        if any(f"mark.{kind}(" in text for kind in MARKERS):  # few have one, and parsing all takes seconds
            for name, proof in _marked(ast.parse(text), path.relative_to(root).as_posix()):
                found.setdefault(name, []).append(proof)
    return {name: sorted(given, key=lambda one: (one.file != LAWS, one)) for name, given in found.items()}


def _marked(tree: ast.Module, file: str) -> Iterator[tuple[str, Proof]]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for mark in node.decorator_list:
            if not (isinstance(mark, ast.Call) and getattr(mark.func, "attr", "") in MARKERS):
                continue
            for argument in mark.args or [mark]:
                name = argument.value if isinstance(argument, ast.Constant) else None
                if not isinstance(name, str) or mark.keywords or not node.name.startswith("test_"):
                    raise ProofError(f'{file}:{mark.lineno}: write @pytest.mark.guarantee("G1") above a test')
                yield name, Proof(file, node.name)


def refuse_unknown(found: Mapping[str, list[Proof]], known: Iterable[str]) -> None:
    """Raises ProofError for markers with a name that no page has."""
    unknown = sorted(found.keys() - set(known))
    told = (f"{one.file}: {one.test} is marked {name!r}" for name in unknown for one in found[name])
    if unknown:
        raise ProofError(
            "\n".join((*told, "no such part in docs/guarantees.md or docs/timers.md: write it there"))
        )


def proof_text(name: str, found: Mapping[str, list[Proof]], root: Path) -> str:
    """A page's list of the tests of a guarantee or a timer, the latter with its constants. Raises ProofError."""
    if name not in found:
        kind = "guarantee" if name.startswith("G") else "timer"
        raise ProofError(f'no test is marked @pytest.mark.{kind}("{name}"): mark the one that shows it')
    by_file: dict[str, list[str]] = {}
    for one in found[name]:
        by_file.setdefault(one.file, []).append(f"`{one.test}`")
    lines = [
        f"- [{file}](../{file}){' (law)' * (file == LAWS)}: {', '.join(tests)}"
        for file, tests in by_file.items()
    ]
    constants = list(_times(root / name)) if name.endswith(".py") else []
    told = [f"{', '.join(f'`{one}`' for one in constants)}", ""] if constants else []
    return "\n".join((*told, *lines)) + "\n"


def _times(module: Path) -> Iterator[str]:
    """The times that a module declares: `GRACE = timedelta(seconds=10)`, `PAUSE_S = 0.2`. Raises ProofError."""
    if not module.is_file():
        raise ProofError(f"{module}: there is no such module, and docs/timers.md has it")
    for node in ast.parse(module.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            value, name = node.value, node.targets[0].id
            if name.endswith("_S") or (
                isinstance(value, ast.Call) and getattr(value.func, "id", "") == "timedelta"
            ):
                yield ast.unparse(node)
