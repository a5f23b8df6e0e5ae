"""Node agents on virtual time: those that are started again, those that hang, and the follower of a fault."""

from pathlib import Path
from typing import Any

import anyio
import pytest
from timed_port import error, ok, timed_bench

from offbus_steps.faults import PAUSE_S, Fault
from offbus_steps.node_agent import BACK_WITHIN_S, LONG_POLL_S
from offbus_steps.port import Unavailable
from offbus_steps.target import Target
from virtual_time import in_virtual_time

HEALTH = "GET /health"
EVENTS = "GET /faults/f/events"
TARGET = Target(kind="Deployment", name="web", namespace="drill", port=8000, selector={"app": "web"})
FAULT = Fault(
    id="f", node="node-1", gpus=["GPU-1"], xid=79, planes=["cuda"], holders={}, mark=0, injected_seq=1, injected_ns=0
)  # fmt: skip


def back_at(seconds: float) -> Any:
    """An agent that is there from then on."""

    async def answer(_method: str, _path: str, _body: Any) -> Any:
        if anyio.current_time() < seconds:
            raise Unavailable("it is being started")
        return ok("{}")

    return answer


@in_virtual_time
async def test_an_agent_that_is_started_again_is_waited_for(tmp_path: Path) -> None:
    async with timed_bench(tmp_path) as (one, port):
        port.agents.answer = back_at(3.1)
        await one.cluster.agents.back("node-1")
        assert anyio.current_time() == pytest.approx(3.2)
        assert port.agents.times(HEALTH) == [pytest.approx(number / 5) for number in range(17)]


@in_virtual_time
async def test_an_agent_that_does_not_come_back_is_waited_for_no_longer(tmp_path: Path) -> None:
    async with timed_bench(tmp_path) as (one, _port):
        await one.cluster.agents.back("node-1")
        assert anyio.current_time() == pytest.approx(BACK_WITHIN_S)
        await one.cluster.agents.back("node-1", deadline=anyio.current_time() + 1)
        assert anyio.current_time() == pytest.approx(BACK_WITHIN_S + 1)


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
