"""Leases on virtual time: when they are renewed, and when they are lost."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from offbus.errors import StepError
from offbus_steps.agents.lease_renewal import Leases
from offbus_steps.background_tasks import Background
from offbus_steps.port import Unavailable
from tests.kits.steps.bench import Bench
from tests.kits.steps.timed_port import TimedPort, error, ok, timed_bench
from tests.kits.virtual_time import VirtualClock, in_virtual_time

TTL_S = 15.0
RENEW = "POST /faults/f/renew"


class Held:
    """One lease, asked for at 0, in a run of its own."""

    def __init__(self, one: Bench, port: TimedPort, leases: Leases, clock: VirtualClock) -> None:
        self.leases, self.clock, self.agents, self.aborted, self._one = (
            leases, clock, port.agents, one.aborted, one,
        )  # fmt: skip

    @property
    def renewed(self) -> list[float]:
        """When the agent was asked to renew it."""
        return self.agents.times(RENEW)

    async def lost(self) -> float:
        """When the run was aborted."""
        await self._one.stopped.wait()
        return anyio.current_time()


@asynccontextmanager
async def holding(folder: Path) -> AsyncIterator[Held]:
    async with timed_bench(folder) as (one, port), anyio.create_task_group() as tasks:
        clock, run = VirtualClock(), one.cluster.run
        leases = Leases(one.cluster.agents, run, Background(tasks, run), clock=clock.mono_ns)
        port.agents.answer = renews
        leases.hold("node-1", "f", TTL_S, 0)
        yield Held(one, port, leases, clock)
        tasks.cancel_scope.cancel()


async def renews(_method: str, _path: str, _body: Any) -> Any:
    return ok("{}")


async def away(_method: str, _path: str, _body: Any) -> Any:
    raise Unavailable("no agent")


async def expires(_method: str, _path: str, _body: Any) -> Any:
    return error(410, "expired")


async def forgets(_method: str, _path: str, _body: Any) -> Any:
    return error(404, "no_such_fault")


@pytest.mark.timer("steps/offbus_steps/agents/lease_renewal.py")
@in_virtual_time
async def test_a_lease_is_renewed_every_third_of_its_ttl(tmp_path: Path) -> None:
    async with holding(tmp_path) as held:
        await anyio.sleep(61)
        assert held.renewed == [float(at) for at in range(5, 61, 5)]
        held.leases.check()
        assert held.aborted == []


@in_virtual_time
async def test_an_agent_that_is_away_for_less_than_a_ttl_costs_nothing(tmp_path: Path) -> None:
    async with holding(tmp_path) as held:
        await anyio.sleep(6)  # renewed at 5: it ends at 20
        held.agents.answer = away
        await anyio.sleep(13)
        held.agents.answer = renews
        await anyio.sleep(60)
        held.leases.check()
        assert held.aborted == []


@pytest.mark.guarantee("G11")
@pytest.mark.timer("steps/offbus_steps/agents/lease_renewal.py")
@in_virtual_time
async def test_a_lease_is_lost_when_the_agent_is_away_for_a_whole_ttl(tmp_path: Path) -> None:
    async with holding(tmp_path) as held:
        await anyio.sleep(6)
        held.agents.answer = away
        assert await held.lost() == 20
        assert "the lease of fault f on node-1 was lost: no agent" in held.aborted[0]
        await anyio.sleep(60)
        assert held.renewed == [5, 10, 15, 20], "nobody renews what is lost"


@in_virtual_time
async def test_an_agent_that_hangs_is_as_away(tmp_path: Path) -> None:
    """Each try ends after 10 s: the first at 15, when the lease that was asked for at 0 is over."""

    async def hangs(_method: str, _path: str, _body: Any) -> Any:
        await anyio.sleep_forever()

    async with holding(tmp_path) as held:
        held.agents.answer = hangs
        assert await held.lost() == 15


@in_virtual_time
async def test_a_renewal_counts_from_when_it_was_asked_for(tmp_path: Path) -> None:
    """Its answer took 4 s: the agent may have counted from the first of them."""

    async def slowly(_method: str, _path: str, _body: Any) -> Any:
        await anyio.sleep(4)
        return ok("{}")

    async with holding(tmp_path) as held:
        held.agents.answer = slowly
        await anyio.sleep(10)  # asked at 5, answered at 9: it ends at 20
        held.clock.passed_s = 9.9
        held.leases.check()
        held.clock.passed_s = 10.0
        with pytest.raises(StepError, match="was lost"):
            held.leases.check()


@pytest.mark.guarantee("G11")
@pytest.mark.parametrize(("answer", "why"), [(expires, "expired"), (forgets, "no_such_fault")])
@in_virtual_time
async def test_a_lease_that_the_agent_denies_is_lost_at_once_and_for_good(
    tmp_path: Path, answer: Any, why: str
) -> None:
    async with holding(tmp_path) as held:
        held.agents.answer = answer
        assert await held.lost() == 5
        assert why in held.aborted[0]
        held.agents.answer = renews
        await anyio.sleep(60)
        assert held.renewed == [5]
        with pytest.raises(StepError, match="was lost"):
            held.leases.check()
        assert len(held.aborted) == 1


@pytest.mark.guarantee("G11")
@pytest.mark.timer("steps/offbus_steps/agents/lease_renewal.py")
@in_virtual_time
async def test_a_suspended_runner_finds_its_lease_lost_before_the_next_renewal(tmp_path: Path) -> None:
    """The loop's clock stood still: no renewal is due when the process goes on."""
    async with holding(tmp_path) as held:
        await anyio.sleep(6)
        held.clock.passed_s = 13.9  # 19.9 s: it ends at 20
        held.leases.check()
        held.clock.passed_s = 14.0
        with pytest.raises(StepError, match="it was not renewed within 15 s") as found:
            held.leases.check()
        assert held.renewed == [5]
        assert held.aborted == [found.value.message]
        held.clock.passed_s = 0.0
        with pytest.raises(StepError, match="was lost"):
            held.leases.check()


@in_virtual_time
async def test_a_lease_that_was_released_is_neither_renewed_nor_lost(tmp_path: Path) -> None:
    async with holding(tmp_path) as held:
        await anyio.sleep(6)
        held.leases.release("f")
        held.agents.answer = expires
        await anyio.sleep(600)
        held.leases.check()
        assert (held.renewed, held.aborted) == ([5], [])
