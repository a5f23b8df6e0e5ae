"""What leaves a task group: the one exception itself, with its own cause; several stay together."""

import anyio
import pytest

from offbus.errors import StepError, only_one, ungrouped
from tests.kits.virtual_time import in_virtual_time


async def fail(text: str) -> None:
    raise StepError(text) from KeyError(text)


async def fail_together(*texts: str) -> None:
    with ungrouped():
        async with anyio.create_task_group(), anyio.create_task_group() as tasks:
            for text in texts:
                tasks.start_soon(fail, text)


@in_virtual_time
async def test_the_one_exception_of_nested_task_groups_leaves_as_it_was_raised() -> None:
    with pytest.raises(StepError, match="a") as told:
        await fail_together("a")
    assert isinstance(told.value.__cause__, KeyError)


@in_virtual_time
async def test_several_exceptions_stay_a_group() -> None:
    with pytest.raises(ExceptionGroup) as told:
        await fail_together("a", "b")
    several = only_one(told.value)
    assert isinstance(several, ExceptionGroup)
    assert sorted(str(one) for one in several.exceptions) == ["a", "b"]


def test_what_is_in_no_group_is_left_as_it_is() -> None:
    with pytest.raises(StepError, match="a"), ungrouped():
        raise StepError("a")
