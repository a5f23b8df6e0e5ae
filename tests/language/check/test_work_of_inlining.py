"""A file that is inlined hundreds of times, in each cell of a matrix, costs little more than its steps do."""

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from offbus.language.cel import lexer
from offbus.language.cel.functions import Functions
from offbus.language.check import parts
from offbus.language.load import load_cells
from tests.kits.language.drill_types import drill, findings, registry

CELLS = 5


def calls_of(do: Callable[[], object], *functions: Any) -> list[int]:
    """How often each of these functions is called meanwhile."""
    found: Counter[Any] = Counter()

    def look(frame: FrameType, event: str, _argument: Any) -> None:
        if event == "call":
            found[frame.f_code] += 1

    sys.setprofile(look)
    try:
        do()
    finally:
        sys.setprofile(None)
    return [found[one.__code__] for one in functions]


def inlining(folder: Path, uses: int, inner: str, header: str = "") -> Path:
    """A scenario of `CELLS` cells that inlines a file so many times."""
    (folder / "inner.yaml").write_text(inner)
    steps = "\n".join(f"{{id: x{n}, uses: scenario, with: {{file: inner.yaml}}}}" for n in range(uses))
    matrix = f"inputs: {{n: {{type: integer, default: 1}}}}\nmatrix: {{n: {list(range(1, CELLS + 1))}}}\n"
    path = folder / "drill.yaml"
    path.write_text(drill('{id: a, uses: ask, when: "inputs.n > 0"}\n' + steps, matrix + header))
    return path


def test_each_text_of_an_expression_is_read_once(tmp_path: Path) -> None:
    """Of 256 uses in 10 cells that were 2,560 times, and a million expressions: most of a minute."""
    said = [f"'{number} > 0'" for number in range(20)]
    inner = drill(f"{{id: a, uses: ask, expect: [{', '.join(said)}]}}") + f"expect: [{', '.join(said)}]\n"

    def load(uses: int) -> list[int]:
        path = inlining(tmp_path, uses, inner)
        return calls_of(
            lambda: load_cells(path, registry=registry()), lexer.tokens, lexer.chains, Functions.calls
        )

    few, many = load(1), load(50)
    assert many == few
    assert max(few) <= 3 * (len(said) + 1)


def test_the_values_of_all_files_are_bounded_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bound for what is inlined, and one as large for the file itself, are twice the bound."""
    monkeypatch.setattr(parts, "MOST_VALUES", 800)
    inner = drill("{id: a, uses: ask, expect: [" + "'true', " * 50 + "]}")
    assert load_cells(inlining(tmp_path, 1, inner), registry=registry())
    own = "expect: [" + "'true', " * 80 + "]\n"
    path = inlining(tmp_path, 1, inner, own)
    told = [one.message for one in findings(tmp_path, path.read_text())]
    assert [one for one in told if "more than 800 values in all cells together" in one]


def test_the_same_warning_of_many_uses_is_one(tmp_path: Path) -> None:
    """11,000 of them were more than are looked for: a valid scenario was refused, and no finding said why."""
    unused = ", ".join(f"i{number}: {{type: integer, default: 1}}" for number in range(60))
    inner = drill("{id: a, uses: ask}", f"inputs: {{{unused}}}\n")
    loaded = load_cells(inlining(tmp_path, 200, inner), registry=registry())
    assert len(loaded.warnings) == 60
    assert len({one.where for one in loaded.warnings}) == 60


def test_the_same_mistake_of_many_uses_is_one(tmp_path: Path) -> None:
    inner = drill("{id: a, uses: ask, expect: [" + "'nowhere', " * 60 + "]}")
    inlining(tmp_path, 200, inner)
    told = findings(tmp_path, (tmp_path / "drill.yaml").read_text())
    assert len(told) == 60
    assert {one.code for one in told} == {"OB402"}


def test_more_warnings_than_are_kept_refuse_nothing(tmp_path: Path) -> None:
    inputs = ", ".join(f"i{number}: {{type: integer, default: 1}}" for number in range(600))
    for number in range(20):
        (tmp_path / f"f{number}.yaml").write_text(drill("{id: a, uses: ask}", f"inputs: {{{inputs}}}\n"))
    steps = "\n".join(f"{{id: x{n}, uses: scenario, with: {{file: f{n}.yaml}}}}" for n in range(20))
    path = tmp_path / "drill.yaml"
    path.write_text(drill(steps))
    [scenario] = load_cells(path, registry=registry()).scenarios
    assert len(scenario.warnings) == 10_000
    assert "more than 10000 warnings" in scenario.warnings[-1].message
