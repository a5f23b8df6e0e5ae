"""How large a matrix may be: the bounds of a file hold for all of its cells together. Pure.

A file is small, and thousands of times what it holds is not: each cell checks all of it, and its report repeats every
input. So a matrix is measured before any cell is checked; what is told is why it is refused.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from offbus.language.matrix import Cell

__all__ = ["too_large", "too_many_kinds", "too_many_steps"]

MOST_STEPS = 100_000
"""Steps of all cells together: each is checked in each cell."""
MOST_VALUES = 1 << 19
"""Values of the file in all cells together, which are checked in each: some 100 µs each, with their expressions."""
MOST_CHARACTERS = 1 << 22
"""Of the inputs of all cells together: a matrix's report and its list of cells repeat each in each cell."""
MOST_KINDS = 64
"""Sets of axes that entries of `exclude` name: a combination is looked up once for each."""


def too_many_steps(cells: int, steps: int) -> str | None:
    """Why so many cells of a scenario of so many steps are refused, if they are."""
    if cells * steps <= MOST_STEPS:
        return None
    return f"the matrix has {cells} cells of {steps} steps, and {MOST_STEPS} steps in all are allowed"


def too_large(cells: Sequence[Cell], values: int, inputs: Mapping[str, Any]) -> str | None:
    """Why cells are refused, of a file that has so many values beside its matrix; `inputs`: where a cell says nothing.

    None when they are not.
    """
    if len(cells) * values > MOST_VALUES:
        what = f"{len(cells)} cells of {values} values each, and {MOST_VALUES} in all are allowed"
        return f"the matrix has {what}"
    common = {name: _characters(name, value) for name, value in inputs.items()}
    made = len(cells) * sum(common.values()) + sum(
        _characters(name, value) - common.get(name, 0)
        for cell in cells
        for name, value in cell.inputs.items()
    )
    if made > MOST_CHARACTERS:
        what = f"have {made} characters together, and {MOST_CHARACTERS} are allowed"
        return f"the inputs of its {len(cells)} cells {what}"
    return None


def too_many_kinds(exclude: Sequence[Mapping[str, Any]]) -> str | None:
    """Why the entries of `exclude` are refused, if they are."""
    kinds = len({frozenset(entry) for entry in exclude})
    if kinds <= MOST_KINDS:
        return None
    return f"`exclude` names {kinds} different sets of axes, and {MOST_KINDS} are allowed"


def _characters(name: str, value: Any) -> int:
    """Of an input, in a report."""
    return len(name) + (len(value) if isinstance(value, str) else 20)
