"""Looks at the node that many ask for, on virtual time."""

import anyio
import pytest

from offbus_agent.shared_look import Shared
from tests.kits.virtual_time import in_virtual_asyncio_time


class Node:
    """Takes so long to look at."""

    def __init__(self, took_s: float) -> None:
        self.took_s = took_s
        self.begun: list[float] = []

    async def look(self) -> float:
        """When it began."""
        self.begun.append(anyio.current_time())
        await anyio.sleep(self.took_s)
        return self.begun[-1]


@pytest.mark.timer("agent/offbus_agent/shared_look.py")
@pytest.mark.parametrize(("took_s", "next_at"), [(0.1, 0.5), (2.0, 3.0)])
@in_virtual_asyncio_time
async def test_whoever_asks_during_a_look_gets_the_next_one_after_a_rest(
    took_s: float, next_at: float
) -> None:
    node = Node(took_s)
    shared = Shared(node.look)
    found: list[float] = []

    async def ask(at: float) -> None:
        await anyio.sleep(at)
        found.append(await shared())

    async with anyio.create_task_group() as tasks:
        for at in (0, took_s / 2, took_s / 2, took_s):
            tasks.start_soon(ask, at)
    assert node.begun == [0, pytest.approx(next_at)]
    assert found == [0, *[pytest.approx(next_at)] * 3]


@in_virtual_asyncio_time
async def test_who_may_join_gets_the_look_that_is_under_way() -> None:
    node = Node(2.0)
    shared = Shared(node.look, joins=True)
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(shared)
        await anyio.sleep(1)
        assert await shared() == 0
    assert node.begun == [0]


@in_virtual_asyncio_time
async def test_a_look_that_fails_is_told_to_each_and_made_again() -> None:
    async def look() -> None:
        raise OSError("away")

    shared = Shared(look, joins=True)
    for _ in range(2):
        with pytest.raises(OSError, match="away"):
            await shared()
