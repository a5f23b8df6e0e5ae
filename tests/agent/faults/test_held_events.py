"""What a pod does with its file of events delays nothing but its own reports: real leases, and virtual time."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import sizeof
from pathlib import Path

import anyio
import pytest

from offbus_agent.faults import collector
from offbus_agent.models import FaultRequest, OwnerRequest, State
from offbus_agent.page.abi import EventsHeader
from tests.kits import REPOSITORY
from tests.kits.agent.floods import rows
from tests.kits.agent.in_time import armed
from tests.kits.agent.node_world import GPU1, LEASE, OWNER, Agents, Node, RunningAgent, request
from tests.kits.virtual_time import in_virtual_asyncio_time

WATCHDOG_S = 20
"""Less than half of what the kernel waits for the holder of a lease, and ten times what an answer takes."""
HEADER = sizeof(EventsHeader)


@contextmanager
def held(file: Path) -> Iterator[None]:
    """A lease on the file."""
    program = REPOSITORY / "tests/kits/agent/lease_holder.py"
    command = [sys.executable, str(program), str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "held\n"
            yield
        finally:
            process.kill()


@pytest.mark.guarantee("G29")
def test_a_lease_on_a_pods_events_delays_no_request(node: Node, agent: RunningAgent) -> None:
    agent.client.timeout = WATCHDOG_S
    agent.post("/faults", request("f1", planes=["cuda"]), expect=201)
    with held(node.events):
        agent.post("/faults/f1/renew", LEASE)
        agent.post("/faults", request("f2", planes=["cuda"], gpus=[GPU1]), expect=201)
        assert agent.post("/faults/f1/disarm", OWNER)["state"] == "disarmed"
        agent.post("/faults/f1/recover", OWNER)
        agent.post("/faults/f2/recover", OWNER)


@pytest.mark.timer("agent/offbus_agent/program.py")
def test_a_lease_on_a_pods_events_does_not_delay_the_agents_start(node: Node, agents: Agents) -> None:
    agents.start().stop()
    with held(node.events):
        agent = agents.start()
        agent.client.timeout = WATCHDOG_S
        agent.post("/faults", request("f1", planes=["cuda"]), expect=201)
        assert "lease" in agent.stop()[1]


def test_the_rows_of_a_recovered_fault_are_freed(node: Node, agent: RunningAgent) -> None:
    generation = agent.post("/faults", request(planes=["cuda"]), expect=201)["generation"]
    with node.events.open("r+b", buffering=0) as file:
        file.seek(HEADER)
        file.write(rows(generation, 1))
    agent.post("/faults/f1/recover", OWNER)
    agent.get("/faults")  # waits for a look that begins after the question
    assert not any(node.events.read_bytes()[HEADER:])


@pytest.mark.guarantee("G30")
@in_virtual_asyncio_time
async def test_a_recovery_waits_for_no_look_that_does_not_end(node: Node) -> None:
    async with armed(node, ttl_s=3600, answered=0) as (watched, fault):
        with anyio.fail_after(60):
            recovered = await watched.agent.faults.recover("f1", OwnerRequest(run="r1", epoch=1))
        assert (recovered.id, recovered.state) == (fault.id, State.DISARMED)
        assert anyio.current_time() == pytest.approx(1.0)


@pytest.mark.timer("agent/offbus_agent/faults/collector.py")
@in_virtual_asyncio_time
async def test_an_arming_waits_for_a_look_for_a_bounded_time(node: Node) -> None:
    wanted = FaultRequest(id="f2", run="r1", epoch=1, xid=79, gpus=[GPU1], planes=["cuda"], ttl_s=60)
    async with armed(node, ttl_s=3600, answered=0) as (watched, _):
        with anyio.fail_after(60):
            await watched.agent.collector.look_around()
        assert anyio.current_time() == pytest.approx(collector.CENSUS_WITHIN_S)
        fault, _ = await watched.agent.faults.create(wanted)
        assert fault.state is State.ARMED
