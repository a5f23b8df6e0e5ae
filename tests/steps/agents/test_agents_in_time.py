"""Node agents on virtual time: those that are started again, those that hang, and the follower of a fault."""

import math
from collections.abc import Collection
from pathlib import Path
from typing import Any

import anyio
import pytest

from offbus_steps.agents.client import (
    BACK_WITHIN_S,
    LONG_POLL_S,
    AgentRefused,
    FaultExpired,
    FaultGone,
    NodeAgents,
)
from offbus_steps.agents.known_faults import AT_ONCE, known_faults
from offbus_steps.agents.live_faults import PAUSE_S
from offbus_steps.inject.undo_disarm import DisarmFault
from offbus_steps.port import Reply, Unavailable
from tests.kits.steps.faults import FAULT, TARGET
from tests.kits.steps.timed_port import TimedAgents, error, ok, timed_bench
from tests.kits.virtual_time import in_virtual_time

HEALTH = "GET /health"
EVENTS = "GET /faults/f/events"


def back_at(seconds: float) -> Any:
    """An agent that is there from then on."""

    async def answer(_method: str, _path: str, _body: Any) -> Any:
        if anyio.current_time() < seconds:
            raise Unavailable("it is being started")
        return ok("{}")

    return answer


@pytest.mark.timer("steps/offbus_steps/agents/client.py")
@in_virtual_time
async def test_an_agent_that_is_started_again_is_waited_for(tmp_path: Path) -> None:
    async with timed_bench(tmp_path) as (one, port):
        port.agents.answer = back_at(3.1)
        await one.cluster.agents.back("node-1")
        assert anyio.current_time() == pytest.approx(3.2)
        assert port.agents.times(HEALTH) == [pytest.approx(number / 5) for number in range(17)]


@pytest.mark.timer("steps/offbus_steps/agents/client.py")
@in_virtual_time
async def test_an_agent_that_does_not_come_back_is_waited_for_no_longer(tmp_path: Path) -> None:
    async with timed_bench(tmp_path) as (one, _port):
        await one.cluster.agents.back("node-1")
        assert anyio.current_time() == pytest.approx(BACK_WITHIN_S)


@pytest.mark.guarantee("G8")
@in_virtual_time
async def test_an_agent_that_hangs_takes_no_longer_than_one_that_is_away(tmp_path: Path) -> None:
    async def hangs_later(method: str, path: str, body: Any) -> Any:
        if anyio.current_time() > 5:
            await anyio.sleep_forever()
        raise Unavailable("it is being started")

    async with timed_bench(tmp_path) as (one, port):
        port.agents.answer = hangs_later
        await one.cluster.agents.back("node-1")
        assert anyio.current_time() == pytest.approx(BACK_WITHIN_S)


OTHERS = [
    pytest.param(ok("404 page not found", 404), id="another program"),
    pytest.param(ok("", 410), id="a proxy"),
    pytest.param(error(404, "no_such_path"), id="no such path"),
    pytest.param(error(404, "not_found"), id="another API"),
    pytest.param(error(410, "gone"), id="another API's 410"),
]


@pytest.mark.guarantee("G8")
@pytest.mark.parametrize("reply", OTHERS)
@in_virtual_time
async def test_only_the_agents_own_word_says_that_a_fault_is_gone(tmp_path: Path, reply: Reply) -> None:
    """Whatever answers in its place for a moment knows nothing of the fault, which is armed."""

    async def answer(_method: str, _path: str, _body: Any) -> Reply:
        return reply

    async with timed_bench(tmp_path) as (one, port):
        port.agents.answer = answer
        with pytest.raises(AgentRefused) as refused:
            await one.cluster.agents.fault("node-1", "f")
    assert not isinstance(refused.value, FaultGone | FaultExpired)
    assert refused.value.status == reply.status


@pytest.mark.guarantee("G8")
@in_virtual_time
async def test_a_fault_is_not_disarmed_because_something_else_answered(tmp_path: Path) -> None:
    """Its undo is tried again, by `recover` also."""

    async def another(_method: str, _path: str, _body: Any) -> Reply:
        return ok("404 page not found", 404)

    async with timed_bench(tmp_path) as (one, port):
        port.agents.answer = another
        with pytest.raises(AgentRefused, match="404 page not found"):
            await one.undo(DisarmFault(fault=FAULT), within_s=60)


@pytest.mark.timer("steps/offbus_steps/agents/live_faults.py")
@in_virtual_time
async def test_the_follower_of_a_fault_asks_an_agent_that_is_away_twice_a_second(tmp_path: Path) -> None:
    """It never gives up: that is the lease's matter."""
    async with timed_bench(tmp_path) as (one, port):
        one.cluster.faults.follow(FAULT, TARGET)
        await anyio.sleep(599.9)
        assert port.agents.times(EVENTS) == [number * PAUSE_S for number in range(1200)]
        port.agents.answer = gone
        await anyio.sleep(600)
        assert len(port.agents.times(EVENTS)) == 1201, "an agent that does not know the fault is asked once"
        assert one.aborted == []


async def gone(_method: str, _path: str, _body: Any) -> Any:
    return error(404, "no_such_fault")


@in_virtual_time
async def test_the_follower_of_a_fault_asks_by_long_poll_and_without_a_pause(tmp_path: Path) -> None:
    async def nothing_happens(_method: str, _path: str, _body: Any) -> Any:
        await anyio.sleep(LONG_POLL_S)
        return ok('{"next": 0, "events": []}')

    async with timed_bench(tmp_path) as (one, port):
        port.agents.answer = nothing_happens
        one.cluster.faults.follow(FAULT, TARGET)
        await anyio.sleep(3 * LONG_POLL_S + 1)
        one.cluster.faults.ended("f", 1)
        await anyio.sleep(600)
        assert port.agents.times(EVENTS) == [number * LONG_POLL_S for number in range(4)]


FAULTS = "GET /faults"
MANY = [f"node-{number:04d}" for number in range(5000)]


class SlowAgents(TimedAgents):
    """Agents that take 50 ms each. Counts how many are asked at once, and for how many of them was looked."""

    def __init__(self) -> None:
        super().__init__()
        self.looked: list[int] = []
        self.busiest = self._busy = 0
        self.back_s = 0.0
        """When node-0007's agent is there."""

    async def ready(self, nodes: Collection[str]) -> Collection[str]:
        """One look for all of them."""
        self.looked.append(len(nodes))
        return [one for one in nodes if one != "node-0007" or anyio.current_time() >= self.back_s]

    async def request(self, node: str, method: str, path: str, **more: Any) -> Reply:
        """As the agents of the port."""
        self.note(f"{method} {path}")
        self._busy += 1
        self.busiest = max(self.busiest, self._busy)
        await anyio.sleep(0.05)
        self._busy -= 1
        if node == "node-0009":
            return error(401, "unauthorized")
        return ok('{"faults": [{"id": "f", "state": "armed"}]}' if node == "node-0003" else '{"faults": []}')


async def asked(agents: SlowAgents, folder: Path) -> dict[str, Any]:
    async with timed_bench(folder) as (one, _port):
        return await known_faults(NodeAgents(agents, one.cluster.run, one.cluster.clocks), MANY)


@in_virtual_time
async def test_very_many_agents_are_asked_once_each_and_some_at_a_time(tmp_path: Path) -> None:
    agents = SlowAgents()
    found = await asked(agents, tmp_path)
    assert found.pop("Agent/node-0003 faults") == ["f armed"]
    assert found.pop("Agent/node-0009") == "cannot be asked: AgentRefused"
    assert found == {f"Agent/{name} faults": [] for name in MANY if name not in ("node-0003", "node-0009")}
    assert agents.looked == [len(MANY)], "all are looked for at once"
    assert len(agents.times(FAULTS)) == len(MANY)
    assert agents.busiest == AT_ONCE
    assert anyio.current_time() == pytest.approx(0.05 * math.ceil(len(MANY) / AT_ONCE))


@pytest.mark.timer("steps/offbus_steps/agents/known_faults.py")
@in_virtual_time
async def test_of_very_many_agents_only_those_that_are_away_are_asked_again(tmp_path: Path) -> None:
    agents = SlowAgents()
    agents.back_s = 12.0
    found = await asked(agents, tmp_path)
    assert found["Agent/node-0007 faults"] == []
    assert agents.looked[0] == len(MANY)
    assert set(agents.looked[1:]) == {1}
    assert len(agents.times(FAULTS)) == len(MANY)


@pytest.mark.timer("steps/offbus_steps/agents/known_faults.py")
@in_virtual_time
async def test_an_agent_that_stays_away_is_told_in_the_fingerprint_and_keeps_nobody(tmp_path: Path) -> None:
    agents = SlowAgents()
    agents.back_s = math.inf
    found = await asked(agents, tmp_path)
    assert found["Agent/node-0007"] == "cannot be asked: Unavailable"
    assert "Agent/node-0007 faults" not in found
    assert anyio.current_time() <= 0.05 * math.ceil(len(MANY) / AT_ONCE) + BACK_WITHIN_S
    assert len(agents.looked) < 10, "the pauses between the looks grow"


@in_virtual_time
async def test_where_nobody_can_tell_which_agents_are_ready_none_is_believed_to_know_nothing(
    tmp_path: Path,
) -> None:
    class Blind(SlowAgents):
        async def ready(self, nodes: Collection[str]) -> Collection[str]:
            raise Unavailable("the API server is away")

    found = await asked(Blind(), tmp_path)
    assert found == {f"Agent/{name}": "cannot be asked: Unavailable" for name in MANY}


@pytest.mark.timer("steps/offbus_steps/agents/client.py")
@in_virtual_time
async def test_a_long_poll_that_hangs_is_given_up_a_while_after_it_should_have_ended(tmp_path: Path) -> None:
    paths = []

    async def hangs(_method: str, path: str, _body: Any) -> Any:
        paths.append(path)
        await anyio.sleep_forever()

    async with timed_bench(tmp_path) as (one, port):
        port.agents.answer = hangs
        with pytest.raises(Unavailable):
            await one.cluster.agents.events("node-1", "f", 0)
        assert paths == [f"/faults/f/events?since=0&wait_s={LONG_POLL_S}"]
        assert anyio.current_time() == LONG_POLL_S + 10
