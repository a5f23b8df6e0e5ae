"""Which cells of a matrix run beside one another, which wait, and what ends it; on virtual time."""

from collections.abc import Hashable, Sequence

import anyio
import pytest

from offbus.exits import Exit
from offbus.matrix.play import Play
from tests.kits.virtual_time import in_virtual_time

PASSED, FAILED, RESIDUE = Exit.PASSED, Exit.FAILED, Exit.RESIDUE


class Cells:
    """Each takes some seconds and ends with an exit code; what was played when is written down."""

    def __init__(self, *cells: tuple[float, Exit]) -> None:
        self.cells = cells
        self.began: dict[int, float] = {}

    async def act(self, number: int) -> Exit:
        self.began[number] = anyio.current_time()
        took, code = self.cells[number]
        await anyio.sleep(took)
        return code


async def played(
    cells: Cells, shared: Sequence[Hashable] = (), **how: object
) -> tuple[Play, dict[int, float]]:
    start = anyio.current_time()
    play = Play(shared or range(len(cells.cells)), **how)
    await play.play(cells.act)
    return play, {number: at - start for number, at in cells.began.items()}


@in_virtual_time
async def test_one_after_the_other_unless_more_are_allowed() -> None:
    play, began = await played(Cells((10, PASSED), (5, FAILED), (1, PASSED)))
    assert began == {0: 0, 1: 10, 2: 15}
    assert play.exit is Exit.FAILED


@in_virtual_time
async def test_two_at_a_time_in_their_order() -> None:
    _, began = await played(Cells((10, PASSED), (3, PASSED), (4, PASSED), (1, PASSED)), max_parallel=2)
    assert began == {0: 0, 1: 0, 2: 3, 3: 7}


@in_virtual_time
async def test_cells_of_one_environment_are_played_in_turn_and_passed_by_meanwhile() -> None:
    cells = Cells((10, PASSED), (10, PASSED), (3, PASSED))
    _, began = await played(cells, ["one", "one", "other"], max_parallel=2)
    assert began == {0: 0, 2: 0, 1: 10}


@in_virtual_time
async def test_residue_ends_it_and_those_that_run_are_played_to_their_end() -> None:
    cells = Cells((2, RESIDUE), (10, PASSED), (1, PASSED))
    play, began = await played(cells, max_parallel=2)
    assert began == {0: 0, 1: 0}
    assert play.ended == {0: RESIDUE, 1: PASSED}
    assert (play.not_played, play.stopped, play.exit) == ((2,), "a cell left residue", RESIDUE)


@pytest.mark.parametrize(("fail_fast", "left"), [(True, (1, 2)), (False, ())])
def test_a_failure_ends_it_where_that_is_asked_for(fail_fast: bool, left: tuple[int, ...]) -> None:
    @in_virtual_time
    async def look() -> None:
        play, _ = await played(Cells((1, FAILED), (1, PASSED), (1, PASSED)), fail_fast=fail_fast)
        assert play.not_played == left
        assert play.exit is FAILED

    look()


@in_virtual_time
async def test_after_a_stop_none_begins() -> None:
    cells = Cells((10, Exit.INTERRUPTED), (1, PASSED))
    play = Play(range(2))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(play.play, cells.act)
        await anyio.sleep(5)
        play.stop("interrupted by SIGINT")
    assert (play.ended, play.not_played) == ({0: Exit.INTERRUPTED}, (1,))
    assert play.exit is Exit.INTERRUPTED
