"""mypy finds a misspelt field of an event where it is written and where it is read; the rightly spelt twins pass."""

import ast
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from offbus.journal import schemas
from offbus.journal.events import EventKind
from offbus.journal.kinds import DATA, PHASE, STEP_READY
from offbus.report.event_handlers import APPLY

WRITER = """
from offbus.journal.kinds import METRIC, STEP_ENDED
from offbus.journal.schemas import StepEnded
from offbus.journal.writer import JournalWriter


def write(journal: JournalWriter) -> None:
    ended: StepEnded = {"outcome": "failed", "attempts": 1}
    ended["message"] = "no answer"
    journal.append(STEP_ENDED(ended), step="load")
    journal.append(METRIC({"name": "requests.sent", "value": 1.0, "unit": "", "from": []}))
"""
READER = """
from offbus.journal.events import Event
from offbus.journal.kinds import RESIDUE, STEP_ENDED, Handlers
from offbus.journal.schemas import Residue


def messages(event: Event) -> str | None:
    ended = STEP_ENDED.of(event)
    return ended.get("message") if ended is not None else None


LEFT = Handlers[list[str], None]()


@LEFT.of(RESIDUE)
def left(found: list[str], event: Event, data: Residue) -> None:
    found.append(data["item"])
"""
MISSPELT = {
    "writer_key": (WRITER, '"attempts": 1', '"atempts": 1', "atempts"),
    "writer_functional_key": (WRITER, '"from": []', '"form": []', "form"),
    "writer_optional_key": (WRITER, 'ended["message"]', 'ended["mesage"]', "mesage"),
    "writer_undrafted": (WRITER, "METRIC({", "({", "Draft"),
    "reader_key": (READER, 'data["item"]', 'data["itme"]', "itme"),
    "reader_optional_key": (READER, 'ended.get("message")', 'ended.get("mesage")', "object"),
    "reader_unnarrowed": (READER, "if ended is not None else None", "", "None"),
    "reader_of_raw_data": (READER, 'data["item"]', 'str(event["data"]["item"])', "object"),
    "reader_of_another_kind": (READER, "@LEFT.of(RESIDUE)", "@LEFT.of(STEP_ENDED)", "StepEnded"),
}
"""Name -> a module, what is changed in it, and a word of what mypy says then."""


@pytest.fixture(scope="module")
def errors(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What mypy, as it checks our own code, says of each of the modules."""
    repository, folder = Path(__file__).parents[3], tmp_path_factory.mktemp("typed")
    modules = {"writer": WRITER, "reader": READER}
    for name, (module, right, wrong, _word) in MISSPELT.items():
        assert module.count(right) == 1
        modules[name] = module.replace(right, wrong)
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)
    files = [str(folder / f"{name}.py") for name in modules]
    options = ["--config-file", "pyproject.toml", "--cache-dir", str(folder / "cache"), "--no-pretty"]
    command = [sys.executable, "-m", "mypy", *options, *files]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=100)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    found = defaultdict[str, list[str]](list)
    for line in done.stdout.splitlines():
        if match := re.search(r"(\w+)\.py:\d+: error: (.*)", line):
            found[match[1]].append(match[2])
    return found


@pytest.mark.parametrize("name", ["writer", "reader"])
def test_what_is_spelt_rightly_passes(name: str, errors: dict[str, list[str]]) -> None:
    assert errors[name] == []


@pytest.mark.parametrize("name", MISSPELT)
def test_what_is_misspelt_is_an_error_that_names_it(name: str, errors: dict[str, list[str]]) -> None:
    assert any(MISSPELT[name][3] in error for error in errors[name]), errors[name]


def optional_reads(path: Path) -> Iterator[tuple[str, str]]:
    """Schema and key of each `data.get("key")` in a module's functions, where `data` is declared as `schemas.NAME`."""
    for function in ast.walk(ast.parse(path.read_text())):
        if isinstance(function, ast.FunctionDef):
            schema = {one.arg: ast.unparse(one.annotation) for one in function.args.args if one.annotation}
            for node in ast.walk(function):
                match node:
                    case ast.Call(
                        func=ast.Attribute(value=ast.Name(id=name), attr="get"),
                        args=[ast.Constant(value=key), *_],
                    ) if schema.get(name, "").startswith("schemas."):
                        yield schema[name].removeprefix("schemas."), key


def test_a_field_that_may_be_missing_is_one_of_the_schema() -> None:
    """Where the value goes into what takes anything, mypy has nothing to say of a misspelt one."""
    engine = Path(schemas.__file__).parents[1]
    found = [one for path in sorted(engine.rglob("*.py")) for one in optional_reads(path)]
    assert len(found) >= 10, "they are seen at all"
    assert [(name, key) for name, key in found if key not in getattr(schemas, name).__annotations__] == []


def test_every_kind_has_a_schema_is_folded_and_is_read_as_itself_alone() -> None:
    assert set(DATA) == set(APPLY.by_kind) == set(EventKind)
    event = {"kind": "phase", "data": {"name": "open"}}
    assert PHASE.of(event) == {"name": "open"}
    assert STEP_READY.of(event) is None
    with pytest.raises(ValueError, match="of kind phase, not step_ready"):
        STEP_READY.data(event)
