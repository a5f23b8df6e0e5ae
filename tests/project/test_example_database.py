"""A package about a database: its plan, views and reports read in its own words, though the engine knows none of them.

The run is played in an environment that has the package; here, where it is not installed, its journal is shown.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from shutil import copy

import pytest

from offbus.cli.views.layout import lay_out
from offbus.cli.views.run_state import Board
from offbus.cli.views.sections import header, sections
from offbus.cli.views.theme import UNICODE
from offbus.journal.events import Event, EventKind
from offbus.journal.reader import read_journal
from offbus.report.fold import fold
from offbus.report.model import Report
from offbus.report.render.markdown import markdown_report
from offbus.report.render.text import text_report
from offbus.report.spans import Line, Span, Tone, plain
from tests.kits.project.project_venv import DATABASE, Venv


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the scenario, and a database with two tables."""
    work = tmp_path_factory.mktemp("database")
    copy(DATABASE / "orders.yaml", work)
    with closing(sqlite3.connect(work / "orders.db")) as db, db:
        db.execute("CREATE TABLE orders (item TEXT)")
        db.execute("CREATE TABLE customers (item TEXT)")
    return work


@pytest.fixture(scope="module")
def venv(example_venv: Path, folder: Path) -> Venv:
    """The environment with the package in it, and run folders of these tests' own."""
    return Venv(example_venv, folder / "state")


@pytest.fixture(scope="module")
def printed(venv: Venv, folder: Path) -> str:
    """What the plain view printed of the only run."""
    return venv.run("offbus", "run", "orders.yaml", "--view", "lines", cwd=folder).stdout


@pytest.fixture(scope="module")
def events(printed: str, folder: Path) -> list[Event]:
    """Its journal."""
    [journal] = (folder / "state" / "offbus" / "runs").glob("*/journal.jsonl")
    return list(read_journal(journal).events)


@pytest.fixture(scope="module")
def report(events: list[Event]) -> Report:
    """The report of it."""
    return fold(events)


def after(events: list[Event], step: str) -> Board:
    """What a view knows when a step has just ended."""
    board = Board("lost-rows", [], lambda: 0)
    for event in events:
        board.apply(event)
        if event["kind"] == EventKind.STEP_ENDED and event.get("step") == step:
            return board
    raise AssertionError(f"{step} never ended")


def shown(board: Board) -> dict[str, list[Line]]:
    """The sections of the live view."""
    return {one.title: one.rows for one in sections(board, UNICODE)}


def tones(lines: list[Line]) -> Iterator[Span]:
    """The pieces that mean something, without the spaces around them."""
    for span in (span for one in lines for span in one if span.tone is not Tone.PLAIN):
        yield Span(span.text.strip(), span.tone)


def test_the_run_passes_and_the_database_is_as_it_was(report: Report, folder: Path) -> None:
    assert (report.verdict, report.residue) == ("passed", [])
    with closing(sqlite3.connect(folder / "orders.db")) as db:
        assert db.execute("SELECT count(*) FROM orders").fetchone() == (0,)


def test_the_plan_says_what_it_would_do_to_the_table(venv: Venv, folder: Path) -> None:
    plan = venv.run("offbus", "plan", "orders.yaml", cwd=folder).stdout
    assert "deletes the rows of orders after the first 6" in plan
    assert "orders has 0 rows" in plan


def test_its_function_is_typed_before_the_run(venv: Venv, folder: Path) -> None:
    text = (folder / "orders.yaml").read_text()
    (folder / "wrong.yaml").write_text(text.replace("(inputs.code).transient", "(inputs.code).transent"))
    found = venv.run("offbus", "validate", "wrong.yaml", cwd=folder, code=2).stdout
    assert "wrong.yaml:8:" in found
    assert "OB402: sqlite_error() has no field 'transent'" in found
    assert "did you mean '.transient'?" in found
    (folder / "wrong.yaml").write_text(text.replace("default: 11", "default: 99"))
    printed = venv.run("offbus", "run", "wrong.yaml", "--view", "lines", cwd=folder, code=3).stdout
    assert "sqlite_error(): 99 is no result code that is known here" in printed


def test_its_function_is_listed_and_explained_as_a_step_type_is(venv: Venv, folder: Path) -> None:
    listed = " ".join(venv.run("offbus", "steps", cwd=folder).stdout.split())
    assert "sqlite_error function offbus-database What SQLite means by a result code." in listed
    page = venv.run("offbus", "steps", "sqlite_error", cwd=folder).stdout
    assert page.startswith("sqlite_error(code: int) (function): What SQLite means by a result code.\n")
    assert "transient  bool    Whether trying again may help." in page
    told = json.loads(venv.run("offbus", "steps", "sqlite_error", "--format", "json", cwd=folder).stdout)
    assert told["params"] == [{"name": "code", "type": "int"}]
    assert [field["name"] for field in told["fields"]] == ["name", "transient"]


def test_the_plain_view_tells_it_in_the_packages_words(printed: str) -> None:
    lines = [line.split(None, 1)[1] for line in printed.splitlines() if "s  " in line[:12]]
    told = [" ".join(line.split()) for line in lines]
    assert "fault table orders proven on rows: 2 of 8 rows gone" in told
    assert "table Table/orders torn (was whole)" in told
    assert "metric rows.intact 75.00 %" in told
    assert "metric row_size 5 B" in told
    assert not [one for one in told if one.startswith("metric rows.read")]  # measured often


def test_the_closing_lines_have_its_groups_in_the_declared_order(printed: str) -> None:
    closing_lines = printed[printed.index("PASSED  lost-rows") :].splitlines()
    assert closing_lines[1:4] == [
        "  rows     8 read, 100.00 % intact",
        "  storage  5 B a row",
        "  faults   1 of 1 proven",
    ]


def test_the_live_view_has_its_sections(events: list[Event]) -> None:
    found = shown(after(events, "broken"))
    assert list(found) == ["steps", "faults", "tables", "readers"]
    assert plain(found["tables"]).splitlines() == [
        "✗ orders  orders.db  torn  vacuums 2",
        "– customers unchanged",
    ]
    assert plain(found["readers"]).splitlines() == ["read 6, intact 75.00 %", "orders short  6 of 8 rows"]
    assert "✓ rows proven   2 of 8 rows gone" in plain(found["faults"])


def test_its_tones_are_those_that_the_steps_gave(events: list[Event]) -> None:
    broken, whole = shown(after(events, "broken")), shown(after(events, "whole"))
    assert Span("torn", Tone.BAD) in tones(broken["tables"])
    assert Span("short", Tone.CAUTION) in tones(broken["readers"])
    assert Span("whole", Tone.GOOD) in tones(whole["tables"])
    assert Span("complete", Tone.GOOD) in tones(whole["readers"])


def test_the_screen_is_laid_out_with_its_titles(events: list[Event]) -> None:
    board = after(events, "broken")
    text = plain(lay_out(header(board), sections(board, UNICODE), 100, 40, UNICODE))
    assert "\ntables  ✗ orders  orders.db  torn  vacuums 2\n" in text
    assert "\nreaders read 6, intact 75.00 %\n" in text


def test_the_report_reads_in_its_words(report: Report) -> None:
    text = plain(text_report(report, Path("RUNS/report.json")))
    assert "rows  proven at " in text
    assert ": 2 of 8 rows gone\n" in text
    assert "table   Table/orders: torn (was whole)  [2 of 8 rows gone]" in text
    assert "reader  orders: short  [6 of 8 rows]" in text
    figures = [line.split() for line in text[text.index("\nMetrics\n") :].split("\n\n")[0].splitlines()[2:]]
    assert [row[0] for row in figures] == ["rows.read", "rows.intact", "query_time", "row_size"]
    assert figures[1] == ["rows.intact", "100.00", "%"]
    assert figures[3] == ["row_size", "5", "B"]


def test_markdown_has_the_same_words(report: Report) -> None:
    text = markdown_report(report)
    assert "| table orders | rows | yes | 2 of 8 rows gone |" in text
    assert "| rows.intact | 100.00 % |" in text


def test_the_report_says_what_its_metrics_mean(report: Report) -> None:
    intact = report.metrics["rows.intact"]
    assert (intact.meaning, intact.unit, intact.share) == ("Rows that are there, of all.", "1", True)
    assert report.metrics["query_time"].unit == "s"


def test_the_page_of_a_step_says_what_it_measures(venv: Venv, folder: Path) -> None:
    page = venv.run("offbus", "steps", "check_rows", cwd=folder).stdout
    assert "metrics.rows.intact  double    Rows that are there, of all." in page
