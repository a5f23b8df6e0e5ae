"""Private names of libraries, and of other modules of ours, are used nowhere but where decision 0014 says."""

import ast
import sys
from collections.abc import Iterator

import pytest

from tests.kits import REPOSITORY

FLOORS = ("engine", "steps", "agent", "sandbox")
USED = {
    "sandbox/offbus_sandbox/adapter/unix_http.py": {"_pool"},
    "steps/offbus_steps/kubernetes/rest/abort_on_close.py": {"_factory"},
    "steps/offbus_steps/kubernetes/rest/lean_client.py": {"sys.modules"},
}
"""Module -> what it may use. Its docstring says why, and test_private_parts.py holds that the library has it."""
DOCUMENTED = {"_asdict", "_exit", "_fields", "_make", "_replace", "_value_"}
"""Public in spite of their names: those of named tuples, `os._exit`, and a member's value in `Enum.__new__`."""
BY_NAME = {"delattr", "getattr", "hasattr", "setattr"}
OURS = {"offbus", "offbus_agent", "offbus_sandbox", "offbus_steps"}


def private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in DOCUMENTED


def own(tree: ast.AST) -> set[str]:
    """What a module gives a name itself: functions, classes, variables, and attributes of `self` and `cls`."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
            continue
        match node:
            case ast.Name(id=name, ctx=ast.Store()):
                names.add(name)
            case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name, ctx=ast.Store()):
                names.add(name)
    return names


def imported(tree: ast.AST) -> set[str]:
    """Names that stand for a library, or for something in it."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found = [(one.name, one.asname or one.name.partition(".")[0]) for one in node.names]
        elif isinstance(node, ast.ImportFrom):
            found = [(node.module or "", one.asname or one.name) for one in node.names]
        else:
            continue
        names |= {
            name for root, name in found if root.partition(".")[0] not in OURS | sys.stdlib_module_names
        }
    return names


def foreign(source: str) -> Iterator[str]:
    """The private names that a module uses and does not own; what it patches of a library; `sys.modules`."""
    tree = ast.parse(source)
    owned, libraries = own(tree), imported(tree)
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="sys"), attr="modules"):
                yield "sys.modules"
            case ast.Attribute(attr=name) if private(name) and name not in owned:
                yield name
            case ast.Attribute(value=ast.Name(id=root), attr=name, ctx=ast.Store() | ast.Del()) if (
                root in libraries
            ):
                yield f"{root}.{name}"
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                words = ".".join([getattr(node, "module", None) or "", *(one.name for one in names)])
                yield from filter(private, words.split("."))
            case ast.Call(func=ast.Name(id=how), args=[_, ast.Constant(value=str(name)), *_]) if (
                how in BY_NAME
            ):
                if private(name) and name not in owned:
                    yield name


def test_no_module_uses_private_names_that_are_not_its_own() -> None:
    paths = [path for floor in FLOORS for path in (REPOSITORY / floor).rglob("*.py")]
    assert len(paths) > 300, "the sources are seen at all"
    found = {one.relative_to(REPOSITORY).as_posix(): set(foreign(one.read_text("utf-8"))) for one in paths}
    used = {module: names for module, names in found.items() if names}
    assert used == USED, (
        "a module uses a private name that is not its own, or patches a library: use a public way, make the name "
        "public if it is ours, or follow docs/decisions/0014-private-parts.md"
    )


FOUND = {
    "an attribute": ("import x\nx.y._z", "_z"),
    "of an object": ("def f(a):\n    return a._z", "_z"),
    "set": ("def f(a):\n    a._z = 1", "_z"),
    "imported": ("from x import _y", "_y"),
    "imported from a private module": ("from x._y import z", "_y"),
    "a private module": ("import x._y", "_y"),
    "by name": ("getattr(x, '_y', None)", "_y"),
    "inherited": ("class A(B):\n    def f(self):\n        return self._b", "_b"),
    "a library's function": ("import yaml\nyaml.load = None", "yaml.load"),
    "a library's class": ("from yaml import Loader\nLoader.x = None", "Loader.x"),
    "the table of modules": ("import sys\nsys.modules['x'] = 1", "sys.modules"),
}


@pytest.mark.parametrize(("source", "name"), FOUND.values(), ids=FOUND)
def test_the_search_finds(source: str, name: str) -> None:
    assert set(foreign(source)) == {name}


ALLOWED = {
    "its own, of another object": "class A:\n    def f(self):\n        self._x = 1\ndef g(a):\n    return a._x",
    "a field of its own": "class A:\n    _x: int\n    def g(self, other):\n        return other._x",
    "a method of its own": "class A:\n    def _x(self): ...\n    def g(self, other):\n        other._x()",
    "a documented one": "import os\na._replace(b=1)\nos._exit(1)",
    "one of Python's": "from x import __version__\ntype(a).__name__",
    "a hook of Python's": "import sys\nsys.excepthook = None",
    "an attribute of an object that a library made": "import yaml\na = yaml.X()\na.line = 1",
}


@pytest.mark.parametrize("source", ALLOWED.values(), ids=ALLOWED)
def test_the_search_leaves(source: str) -> None:
    assert set(foreign(source)) == set()
