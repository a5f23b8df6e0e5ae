"""Plug-ins of real distributions: metadata and modules as an installer leaves them, in a fresh interpreter."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from offbus import plugins
from offbus.plugins import COMMANDS, ENVIRONMENTS, FUNCTIONS, UNDOS, PluginError, Registry, installed
from offbus.step import Kind, Outputs, Params, StepType
from tests.kits.language.drill_types import STEPS

ACME_STEP = """
from offbus.step import Kind, Outputs, Params, StepType
async def run(ctx, params): ...
def make(name, run=run):
    return StepType(name=name, kind=Kind.ACTION, summary="Acme.", params=Params, outputs=Outputs, run=run)
GOOD = make("good")
REFERS = make("refers", "acme_running:Holder.run")
NO_MODULE = make("no_module", "acme_nowhere:run")
NO_FUNCTION = make("no_function", "acme_running:nothing")
NO_CALLABLE = make("no_callable", "acme_running:NUMBER")
BREAKS = make("breaks", "acme_broken:run")
class Holder: NESTED = make("nested")
"""

ACME_RUNNING = """
NUMBER = 7
class Holder:
    async def run(ctx, params):
        '''What it says of itself.'''
"""

ENTRY_POINTS = """\
# a comment
[console_scripts]
acme = acme_drills:main

[offbus.steps]
good = acme_drills:GOOD
nested = acme_drills:Holder.NESTED [extra]
misnamed = acme_drills:GOOD
; another comment
not_a_type = acme_drills:run
absent = acme_drills:NOTHING
raises = acme_broken:X
exits = acme_exits:X
refers = acme_drills:REFERS
no_module = acme_drills:NO_MODULE
no_function = acme_drills:NO_FUNCTION
no_callable = acme_drills:NO_CALLABLE
breaks = acme_drills:BREAKS

[offbus.undos]
not_an_undo = acme_drills:GOOD

[offbus.functions]
twice = acme_functions:TWICE
thrice = acme_functions:TWICE
"""

ACME_FUNCTIONS = """
from offbus.function import Function
def twice(number: int) -> int: return 2 * number
TWICE = Function(name="twice", summary="Twice as much.", call=twice)
"""


def install(folder: Path, name: str, version: str, entry_points: str) -> None:
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(entry_points)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    install(tmp_path, "acme_drills", "2.1", ENTRY_POINTS)
    (tmp_path / "acme_drills.py").write_text(ACME_STEP)
    (tmp_path / "acme_running.py").write_text(ACME_RUNNING)
    (tmp_path / "acme_functions.py").write_text(ACME_FUNCTIONS)
    (tmp_path / "acme_broken.py").write_text("raise RuntimeError('no GPU here')\n")
    (tmp_path / "acme_exits.py").write_text("import no_such_library\n")
    return tmp_path


def ask(site: Path, code: str, *more_sites: Path) -> str:
    """What `code` prints in an interpreter of its own that also sees the site."""
    path = [str(site), *map(str, more_sites)]
    script = f"import sys; sys.path[:0] = {path!r}\nfrom offbus.plugins import *\n{code}"
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True, timeout=60
    ).stdout.strip()


def test_a_third_party_type_is_found_with_its_package_and_loaded(site: Path) -> None:
    said = ask(
        site,
        "r = installed(); p = r.plugin(STEPS, 'good'); print(p.package, p.version, r.step_type('good').summary)",
    )
    assert said == "acme-drills 2.1 Acme."


def test_an_attribute_of_an_attribute_and_extras(site: Path) -> None:
    assert ask(site, "print(installed().step_type('nested').name)") == "nested"


def test_names_are_found_without_importing_anything(site: Path) -> None:
    code = """
import json
loaded = [name in sys.modules for name in ("pydantic", "importlib.metadata")]
print(json.dumps([installed().names(STEPS), *loaded]))"""
    names, pydantic, metadata = json.loads(ask(site, code))
    assert {"good", "deploy", "cleanup"} <= set(names)
    assert (pydantic, metadata) == (False, False)


CANNOT = "of package acme-drills 2.1 cannot be loaded:"
FAILS = {
    "raises": f"offbus.steps 'raises' {CANNOT} RuntimeError: no GPU here",
    "exits": f"offbus.steps 'exits' {CANNOT} ModuleNotFoundError: No module named 'no_such_library'",
    "absent": f"offbus.steps 'absent' {CANNOT} AttributeError: module 'acme_drills' has no attribute 'NOTHING'",
    "not_a_type": "offbus.steps 'not_a_type' of package acme-drills 2.1 is not a offbus.step.StepType",
    "misnamed": "offbus.steps 'misnamed' of package acme-drills 2.1 is not named 'misnamed', but 'good'",
    "nothing": "no installed package registers 'nothing' under offbus.steps",
}


@pytest.mark.parametrize(("name", "says"), FAILS.items(), ids=FAILS.keys())
def test_what_cannot_be_loaded_is_one_message_that_names_the_package(
    site: Path, name: str, says: str
) -> None:
    code = (
        f"try: installed().step_type({name!r})\nexcept PluginError as err: print(err.message, '|', err.hint)"
    )
    said = ask(site, code)
    assert said.startswith(says)
    assert name == "nothing" or "fix or uninstall acme-drills" in said


def test_what_runs_a_type_is_imported_when_it_is_asked_for(site: Path) -> None:
    code = """
step = installed().step_type('refers')
print('acme_running' in sys.modules, step.load_run().__qualname__, 'acme_running' in sys.modules)"""
    assert ask(site, code) == "False Holder.run True"


def test_a_type_says_of_itself_what_the_function_that_it_refers_to_says(site: Path) -> None:
    code = """
from offbus.cli.handlers.steps import explain_one
print(explain_one('refers', 'text'))"""
    assert "What it says of itself." in ask(site, code)


CANNOT_RUN = {
    "no_module": "acme_nowhere:run cannot be loaded: ModuleNotFoundError: No module named 'acme_nowhere'",
    "no_function": "acme_running:nothing cannot be loaded: AttributeError: module 'acme_running' has no attribute",
    "no_callable": "acme_running:NUMBER cannot be loaded: it is not a function, but 7",
    "breaks": "acme_broken:run cannot be loaded: RuntimeError: no GPU here",
}


@pytest.mark.parametrize(("name", "says"), CANNOT_RUN.items(), ids=CANNOT_RUN.keys())
def test_what_runs_a_type_and_cannot_be_loaded_is_one_message_that_names_the_type(
    site: Path, name: str, says: str
) -> None:
    code = f"""
from offbus.errors import CouldNotRun
step = installed().step_type({name!r})
try: step.load_run()
except CouldNotRun as err: print(err.message)"""
    assert ask(site, code).startswith(f"step type {name!r} cannot be run: {says}")


@pytest.mark.parametrize(
    "run", ["", "acme", "acme:", ":run", "acme.:run", "acme:run()", "acme/x:run", "a:b:c", 7]
)
def test_a_type_refuses_what_is_neither_a_function_nor_a_reference_to_one(run: Any) -> None:
    with pytest.raises(
        ValueError, match=r"step type greet: run must be a function or 'package\.module:function'"
    ):
        StepType(name="greet", kind=Kind.ACTION, summary="Hi.", params=Params, outputs=Outputs, run=run)


def test_an_undo_type_must_be_an_undo(site: Path) -> None:
    code = "try: installed().undo_type('not_an_undo')\nexcept PluginError as err: print(err.message)"
    assert "is not a subclass of offbus.undo.Undo" in ask(site, code)


def test_a_function_is_imported_when_an_expression_names_it(site: Path) -> None:
    code = """
from offbus.findings.model import Position
from offbus.language.cel.expressions import Compiler
from offbus.language.cel.scope import Scope
from offbus.language.cel.vocabulary import Vocabulary
def value(text): return Compiler().compile(text, Vocabulary(), Position('x')).value(Scope())
loaded = lambda: 'acme_functions' in sys.modules
print(value('duration("1s") < duration("2s")'), loaded(), value('twice(2)'), loaded())"""
    assert ask(site, code) == "True False 4 True"


def test_a_function_of_another_name_is_a_mistake_of_its_package(site: Path) -> None:
    code = "try: installed().function('thrice')\nexcept PluginError as err: print(err.message)"
    said = ask(site, code)
    assert said == "offbus.functions 'thrice' of package acme-drills 2.1 is not named 'thrice', but 'twice'"


def test_the_first_distribution_on_the_path_wins(site: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    install(other, "acme_drills", "9.9", "[offbus.steps]\ngood = elsewhere:X\nnewer = elsewhere:X\n")
    code = "r = installed(); print(r.plugin(STEPS, 'good').version, r.plugin(STEPS, 'newer'))"
    assert ask(site, code, other) == "2.1 None"


def test_it_finds_what_importlib_metadata_finds() -> None:
    from importlib.metadata import entry_points

    for group in (plugins.STEPS, ENVIRONMENTS, UNDOS, FUNCTIONS, COMMANDS):
        theirs = {entry.name: entry.value for entry in entry_points(group=group)}
        ours = {
            name: found.target
            for name in installed().names(group)
            if (found := installed().plugin(group, name))
        }
        assert ours == theirs


def test_a_registry_of_given_types_has_nothing_else() -> None:
    given = Registry.of(steps={"ask": STEPS["ask"]})
    assert given.names(plugins.STEPS) == ("ask",)
    assert given.step_type("ask") is STEPS["ask"]
    with pytest.raises(PluginError, match="no installed package registers 'deploy'"):
        given.step_type("deploy")
