"""The lists of modules in docs/architecture.md: each with the first sentence that it says of itself.

Read from the sources, nothing is imported. A C file speaks in its first comment; one without is left to its header.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tables import table

__all__ = ["module_list"]

SENTENCE = re.compile(r"(.+?)(?:[.:]?\n\n|\.(?=\s)|\.?$)", re.DOTALL)
COMMENT = re.compile(r"\s*/\*(.+?)\*/", re.DOTALL)
"""Of C, with which the file begins; also over several lines that begin with an asterisk."""


def module_list(root: Path, package: str) -> str:
    """All modules below a folder, a table: path below it and what the module is for. Raises OSError, SyntaxError."""
    folder = root / package
    rows = [(f"`{path.relative_to(folder).as_posix()}`", text) for path, text in _modules(folder)]
    return table([f"in `{package}/`", "what"], rows)


def _modules(folder: Path) -> Iterator[tuple[Path, str]]:
    # A folder's own modules stand before those of the folders in it; what a package is for says the table of folders.
    for path in sorted(folder.rglob("*.*"), key=lambda one: (one.parent.parts, one.name)):
        if (said := _said(path)) is not None and "build" not in path.relative_to(folder).parts:
            yield path, said


def _said(path: Path) -> str | None:
    if path.suffix == ".py" and path.name != "__init__.py":
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    elif path.suffix == ".def":
        text = " ".join(re.findall(r"^# ?(.*)", path.read_text(encoding="utf-8"), re.MULTILINE)[:4])
    elif path.suffix in (".c", ".h", ".S"):
        comment = COMMENT.match(path.read_text(encoding="utf-8"))
        text = comment and re.sub(r"\n \* ?", "\n", comment[1]).strip()
    else:
        return None
    sentence = SENTENCE.match(text or "")
    return sentence and " ".join(sentence[1].split())
