"""The agent's leases, heartbeat and long polls, on virtual time: the agent in this process, its page real."""

import asyncio
import os
import socket
from functools import partial
from itertools import pairwise

import anyio
import httpx
import pytest

from offbus_agent import lease_keeper, program
from offbus_agent.agent import GUIDE_TTL_S
from offbus_agent.faults.collector import REST_S
from offbus_agent.faults.policy import TokenBucket
from offbus_agent.http.endpoints import LONGEST_WAIT_S
from offbus_agent.http.listen import listen_unix
from offbus_agent.http.server import application
from offbus_agent.http.token import TokenFile
from offbus_agent.models import InjectXidRequest, LeaseRequest, OwnerRequest, State
from offbus_agent.page.control import ControlPage
from tests.kits.agent.in_time import armed
from tests.kits.agent.node_world import POD, Node
from tests.kits.virtual_time import in_virtual_asyncio_time, meanwhile

NS = 1_000_000_000
LEASE = LeaseRequest(run="r1", epoch=1, ttl_s=30)
OWNER = OwnerRequest(run="r1", epoch=1)


@pytest.mark.timer("agent/offbus_agent/lease_keeper.py")
@in_virtual_asyncio_time
async def test_a_lease_ends_on_the_instant_and_its_fault_leaves_the_page(node: Node) -> None:
    async with armed(node, ttl_s=3600) as (watched, fault):
        told = await watched.agent.faults.events("f1", since=1, wait_s=7200)
        assert [event.kind for event in told.events] == ["expired"]
        assert anyio.current_time() == pytest.approx(watched.at(fault.expires_ns), abs=1e-6)
        assert fault.state is State.EXPIRED
        assert not ControlPage.create(node.ctl).read().slots


@pytest.mark.timer("agent/offbus_agent/lease_keeper.py")
@in_virtual_asyncio_time
async def test_a_renewed_lease_ends_later(node: Node) -> None:
    async with armed(node, ttl_s=30) as (watched, _):
        await anyio.sleep(20)
        await watched.agent.faults.renew("f1", LEASE)
        await watched.agent.faults.events("f1", since=1, wait_s=7200)
        assert anyio.current_time() == pytest.approx(50, abs=1e-6)


@pytest.mark.timer("agent/offbus_agent/lease_keeper.py", "agent/offbus_agent/planes/page_plane.py")
@in_virtual_asyncio_time
async def test_an_agent_shows_that_it_lives_four_times_as_often_as_it_must(node: Node) -> None:
    async with armed(node, ttl_s=3600) as (watched, _):
        seen = await watched.heartbeats(20.1, look_every_s=0.1)
        assert seen == [pytest.approx(number * lease_keeper._BEAT_S, abs=1e-6) for number in range(17)]


@pytest.mark.timer("agent/offbus_agent/lease_keeper.py")
@in_virtual_asyncio_time
async def test_without_a_doorbell_the_page_is_looked_at_all_the_time(node: Node) -> None:
    async with armed(node, ttl_s=3600, bell=False) as (watched, _):
        await anyio.sleep(1.0)
        assert len(watched.looks) == pytest.approx(1.0 / lease_keeper._LOOK_S, abs=1)


@pytest.mark.timer("agent/offbus_agent/faults/collector.py")
@in_virtual_asyncio_time
async def test_a_process_that_rings_without_end_leaves_the_agent_its_rest(node: Node) -> None:
    async with armed(node, ttl_s=3600) as (watched, _), anyio.create_task_group() as tasks:
        tasks.start_soon(ring, node)
        await anyio.sleep(1.0)
        tasks.cancel_scope.cancel()
    rests = [later - sooner for sooner, later in pairwise(watched.looks)]
    assert len(rests) > 10  # of real time, a look takes some milliseconds: four times as long it rests
    assert min(rests) > 0.999 * REST_S


async def ring(node: Node) -> None:
    """Ring, as a process does that was faulted."""
    events = os.open(node.events, os.O_RDWR)
    try:
        while True:
            os.pwrite(events, os.pread(events, 1, 0), 0)
            await anyio.sleep(REST_S / 10)
    finally:
        os.close(events)


@pytest.mark.guarantee("G30")
@pytest.mark.timer("agent/offbus_agent/faults/collector.py")
@in_virtual_asyncio_time
async def test_an_answer_waits_a_second_for_evidence_and_no_longer(node: Node) -> None:
    async with armed(node, ttl_s=3600, answered=0) as (watched, fault):
        assert await watched.agent.faults.get("f1") == fault
        assert anyio.current_time() == pytest.approx(1.0)
        await watched.agent.faults.disarm("f1", OWNER)
        assert fault.state is State.DISARMED
        assert anyio.current_time() == pytest.approx(2.0)


@pytest.mark.timer("agent/offbus_agent/lease_keeper.py")
@in_virtual_asyncio_time
async def test_pods_that_are_gone_are_looked_for_once_a_minute(node: Node) -> None:
    async with armed(node, ttl_s=3600) as (watched, _):
        await anyio.sleep(1)
        before = len(watched.looks)
        await anyio.sleep(180)
        assert len(watched.looks) == before + 3 * 2  # each after a look for the last evidence


@in_virtual_asyncio_time
async def test_whoever_asks_for_pods_or_gpus_together_is_answered_by_few_looks(node: Node) -> None:
    async with armed(node, ttl_s=3600) as (watched, _):
        await anyio.sleep(1)
        for ask, most in ((partial(watched.agent.preload, POD), 2), (watched.agent.health, 1)):
            before = len(watched.looks)
            async with anyio.create_task_group() as tasks:
                for _ in range(10):
                    tasks.start_soon(ask)
            assert 1 <= len(watched.looks) - before <= most


@pytest.mark.timer("agent/offbus_agent/agent.py")
@in_virtual_asyncio_time
async def test_a_fault_of_the_published_guides_has_a_lease_of_its_own(node: Node) -> None:
    async with armed(node, ttl_s=30) as (watched, _):
        request = InjectXidRequest(fault_id="guide", xid_type=79, gpu_id=1)
    fault, _ = await watched.agent.inject_xid(request)
    assert (fault.expires_ns - (fault.armed_ns or 0)) / NS == GUIDE_TTL_S


@in_virtual_asyncio_time
async def test_an_agent_that_is_stopped_at_the_moment_of_a_change_stops(node: Node) -> None:
    async with armed(node, ttl_s=3600) as (watched, _):
        second = asyncio.create_task(lease_keeper.keep(watched.agent))
        await anyio.sleep(1)
        watched.agent.book.changed.set()
        second.cancel()
        await asyncio.wait([second], timeout=60)
        assert second.cancelled()


@pytest.mark.timer("agent/offbus_agent/faults/event_log.py", "agent/offbus_agent/http/endpoints.py")
@pytest.mark.parametrize("wait_s", [30.0, 600.0])
@in_virtual_asyncio_time
async def test_a_long_poll_waits_as_long_as_it_was_asked_to_within_its_limit(
    node: Node, wait_s: float
) -> None:
    async with armed(node, ttl_s=3600) as (watched, _):
        app = httpx.ASGITransport(app=application(watched.agent, TokenFile(node.token_file)))
        async with httpx.AsyncClient(transport=app, base_url="http://agent", timeout=None) as client:  # noqa: S113
            shown = {"X-Offbus-Token": node.token}
            answer = await client.get(f"/faults/f1/events?since=1&wait_s={wait_s:g}", headers=shown)
        assert (answer.status_code, answer.json()["events"]) == (200, [])
        assert anyio.current_time() == pytest.approx(min(wait_s, LONGEST_WAIT_S), abs=1e-6)


@pytest.mark.timer("agent/offbus_agent/faults/event_log.py")
@in_virtual_asyncio_time
async def test_a_long_poll_is_answered_as_soon_as_there_is_something(node: Node) -> None:
    async with armed(node, ttl_s=3600) as (watched, _):
        book = watched.agent.book
        end = lambda: book.end(book.find("f1"), State.DISARMED)  # noqa: E731
        async with meanwhile((12.5, end)):
            told = await watched.agent.faults.events("f1", since=1, wait_s=LONGEST_WAIT_S)
        assert [event.kind for event in told.events] == ["disarmed"]
        assert anyio.current_time() == 12.5


@pytest.mark.timer("agent/offbus_agent/program.py")
@in_virtual_asyncio_time
async def test_requests_that_wait_hold_the_end_of_the_agent_up_for_a_bounded_time(node: Node) -> None:
    async with armed(node, ttl_s=3600) as (watched, _):
        with listen_unix(node.sock) as listening, socket.socket(socket.AF_UNIX) as client:
            server = program._Server(watched.agent, TokenFile(node.token_file), listening, None)
            client.connect(str(node.sock))
            shown = f"x-offbus-token: {node.token}\r\n".encode()
            client.send(b"GET /faults/f1/events?since=1&wait_s=60 HTTP/1.1\r\nhost: x\r\n" + shown + b"\r\n")
            async with meanwhile((10, server.stop)):
                await server.serve(sockets=[listening])
        looks_every_s = 0.1  # uvicorn's own
        assert 10 + program._GRACE_S <= anyio.current_time() <= 10 + program._GRACE_S + 2 * looks_every_s


def test_injections_come_at_the_rate_of_the_node() -> None:
    bucket = TokenBucket(burst=2, per_minute=30)
    start = 1000 * NS
    assert [bucket.take(start), bucket.take(start)] == [0, 0]
    assert bucket.take(start) == pytest.approx(2)
    assert bucket.take(start + NS) == pytest.approx(1)
    assert bucket.take(start + 2 * NS) == 0
    assert [bucket.take(start + 3600 * NS) for _ in range(3)] == [0, 0, pytest.approx(2)]
