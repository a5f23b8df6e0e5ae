"""What others do to the agent makes no lease end late and no fault stay armed: only watchdogs here, at ten times the
goal of benchmarks/floods.py (50 ms)."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from offbus_agent.lease_time import boottime_ns
from offbus_agent.page.abi import RECORD_COMPLETE, ROWS, EventsHeader, Row
from offbus_agent.page.control import ControlPage
from tests.kits.agent.node_world import LEASE, OWNER, Node, RunningAgent, request

LATE_NS = 500_000_000
"""A watchdog: ten times the goal."""


def rows(generation: int, first: int) -> bytes:
    """A full table of processes that nobody is, each with a faulted call: the agent has never seen them."""
    from ctypes import sizeof

    table = b""
    for number in range(ROWS):
        row = Row(
            owner=1 + number, pid=first + number, generation=generation, pid_namespace=4026531000 + number % 7
        )
        row.start_ns, row.intercepted, row.faulted = boottime_ns(), 1, 1
        call = row.cuda
        call.state, call.pid, call.tid, call.code = RECORD_COMPLETE, row.pid, row.pid, 719
        call.function, call.at_ns = (type(call.function)(*b"cuMemAlloc_v2")), boottime_ns()
        table += bytes(row)
    assert len(table) == ROWS * sizeof(Row)
    return table


@contextmanager
def flooding(node: Node, generation: int) -> Iterator[None]:
    """Write other rows again and again, as fast as a pod can."""
    from ctypes import sizeof

    over = threading.Event()

    def flood() -> None:
        first = 1
        with node.events.open("r+b", buffering=0) as file:
            while not over.is_set():
                file.seek(sizeof(EventsHeader))
                file.write(rows(generation, first))
                first = 1 + (first + ROWS) % 4_000_000

    writer = threading.Thread(target=flood)
    writer.start()
    try:
        yield
    finally:
        over.set()
        writer.join()


def armed_on(page: Path) -> bool:
    return bool(ControlPage.create(page).read().slots)


def gone_at(page: Path, until_ns: int) -> int:
    """When the page was empty, looked at without a pause: shared memory wakes nobody."""
    while armed_on(page):
        assert boottime_ns() < until_ns, "the fault stayed armed"
    return boottime_ns()


def test_a_flood_of_rows_makes_no_lease_end_late(node: Node, agent: RunningAgent) -> None:
    made = agent.post("/faults", request(planes=["cuda"], ttl_s=1.5), expect=201)
    with flooding(node, made["generation"]):
        ended = gone_at(node.ctl, made["expires_ns"] + 20 * LATE_NS)
    assert ended - made["expires_ns"] < LATE_NS
    assert agent.get("/faults/f1")["state"] == "expired"


def test_a_flood_of_rows_keeps_nobody_from_renewing_and_disarming(node: Node, agent: RunningAgent) -> None:
    made = agent.post("/faults", request(planes=["cuda"], ttl_s=60), expect=201)
    calls: list[Callable[[], object]] = [
        lambda: agent.post("/faults/f1/renew", LEASE),
        lambda: agent.post("/faults/f1/renew", LEASE),
    ]
    with flooding(node, made["generation"]):
        for call in calls:
            begun = boottime_ns()
            call()
            assert boottime_ns() - begun < LATE_NS
        asked = boottime_ns()
        disarming = threading.Thread(target=agent.post, args=("/faults/f1/disarm", OWNER))
        disarming.start()
        assert gone_at(node.ctl, asked + 20 * LATE_NS) - asked < LATE_NS
        disarming.join()


@pytest.mark.parametrize("asked", ["/health", "/faults", "/faults/f1"])
def test_a_flood_of_rows_leaves_the_agent_able_to_answer(node: Node, agent: RunningAgent, asked: str) -> None:
    made = agent.post("/faults", request(planes=["cuda"], ttl_s=60), expect=201)
    with flooding(node, made["generation"]):
        begun = boottime_ns()
        agent.get(asked)
        assert boottime_ns() - begun < 4 * LATE_NS
