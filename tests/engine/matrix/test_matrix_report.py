"""What a matrix comes to: the worst of its cells, and passed only if each was played and passed."""

import pytest

from offbus.exits import Exit
from offbus.matrix.summary import CellReport, MatrixReport


def report(*codes: int | None, interrupted: bool = False) -> MatrixReport:
    """One of cells with these exit codes; None: not begun."""
    cells = [
        CellReport(
            id=f"n-{number}",
            name=f"x[n={number}]",
            inputs={},
            state="waiting" if code is None else "ended",
            exit=code,
        )
        for number, code in enumerate(codes)
    ]
    made = MatrixReport(
        matrix="m",
        name="x",
        scenario="x.yaml",
        digest="d",
        environment="e",
        started="t",
        cells=cells,
        interrupted=interrupted,
    )
    made.finish(
        [cell for cell in made.cells if cell.exit is None], "interrupted by SIGINT" if interrupted else None
    )
    return made


@pytest.mark.parametrize(
    ("codes", "interrupted", "code"),
    [
        ((0, 0), False, Exit.PASSED),
        ((0, 1), False, Exit.FAILED),
        ((1, 3), False, Exit.COULD_NOT_RUN),
        ((3, 130), True, Exit.INTERRUPTED),
        ((130, 4), True, Exit.RESIDUE),
        ((0, None), False, Exit.COULD_NOT_RUN),
        ((1, None), False, Exit.FAILED),
        ((0, None), True, Exit.INTERRUPTED),
        ((0, 0), True, Exit.PASSED),
    ],
)
def test_the_worst_counts_and_nothing_passes_that_was_not_played(
    codes: tuple[int | None, ...], interrupted: bool, code: Exit
) -> None:
    assert report(*codes, interrupted=interrupted).exit == code


def test_what_was_killed_is_to_be_played_again() -> None:
    made = report(0, None)
    made.cells[1].began("r1", "/runs/r1")
    made.begin_again()
    assert [(cell.state, cell.because) for cell in made.cells] == [
        ("ended", None),
        ("not_played", "it was killed"),
    ]
    assert (made.exit, made.ended) == (None, None)
