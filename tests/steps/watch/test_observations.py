"""Order, marks, replay and waiting in the log of observations."""

import anyio
import pytest

from offbus_steps.port import Ref
from offbus_steps.watch.event_log import Observations, Since, Transition, World
from offbus_steps.watch.projections import NodeProjection
from offbus_steps.watch.transitions import Change, What

pytestmark = pytest.mark.anyio

NODE = Ref("Node", "n1")


def view(*, cordoned: bool) -> NodeProjection:
    return NodeProjection(NODE, cordoned, (), {}, {}, {})


class Story:
    """Turns cordons on and off in a log."""

    def __init__(self) -> None:
        self.log = Observations()
        self.log.seed(view(cordoned=False))

    def goes(self, *, cordoned: bool) -> None:
        order = self.log.mark()
        what = What.NODE_CORDONED if cordoned else What.NODE_UNCORDONED
        change = Change(what, what.value)
        self.log.append(
            NODE,
            self.log.world.projections[NODE],
            view(cordoned=cordoned),
            (Transition(order, NODE, change, order, 0),),
        )


def is_cordoned(world: World) -> bool:
    node = world.node("n1")
    return node is not None and node.cordoned


def cordon(one: Transition) -> bool:
    return one.what is What.NODE_CORDONED


async def test_a_late_subscriber_sees_what_came_after_its_mark() -> None:
    story = Story()
    mark = story.log.mark()
    story.goes(cordoned=True)
    story.goes(cordoned=False)
    assert (await story.log.first(cordon, after=mark)).order == 0


async def test_what_came_before_the_mark_does_not_count() -> None:
    story = Story()
    story.goes(cordoned=True)
    story.goes(cordoned=False)
    mark = story.log.mark()
    with anyio.move_on_after(0) as early:
        await story.log.first(cordon, after=mark)
    assert early.cancelled_caught
    story.goes(cordoned=True)
    assert (await story.log.first(cordon, after=mark)).order == 2


async def test_those_who_wait_are_woken_by_the_change_they_wait_for() -> None:
    story = Story()
    seen: list[int] = []

    async def wait() -> None:
        seen.append((await story.log.first(cordon, after=0)).order)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        assert seen == []
        story.goes(cordoned=True)
    assert seen == [0]


async def test_a_state_that_lasted_one_update_is_not_missed() -> None:
    story = Story()
    story.goes(cordoned=True)
    story.goes(cordoned=False)
    with anyio.fail_after(5):
        await story.log.ever(is_cordoned, after=0)


async def test_replay_begins_with_the_world_at_the_mark() -> None:
    story = Story()
    for cordoned in (True, False, True):
        story.goes(cordoned=cordoned)
    assert [is_cordoned(world) for world in story.log.replay(0)] == [False, True, False, True]
    assert [is_cordoned(world) for world in story.log.replay(2)] == [False, True]


async def test_since_when_finds_the_newest_stretch() -> None:
    story = Story()
    assert story.log.since_when(is_cordoned, after=0) is None
    assert story.log.since_when(lambda world: not is_cordoned(world), after=0) == Since(0, None)
    story.goes(cordoned=True)
    first = story.log.since_when(is_cordoned, after=0)
    story.goes(cordoned=False)
    story.goes(cordoned=True)
    second = story.log.since_when(is_cordoned, after=0)
    assert first is not None
    assert second is not None
    assert 0 < first.mono_ns < second.mono_ns


async def test_until_asks_once_now_and_then_after_every_update() -> None:
    story = Story()
    asked: list[bool] = []

    def answer(world: World) -> bool | None:
        asked.append(is_cordoned(world))
        return True if asked[-1] else None

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(story.log.until, answer)
        await anyio.wait_all_tasks_blocked()
        story.goes(cordoned=True)
    assert asked == [False, True]
