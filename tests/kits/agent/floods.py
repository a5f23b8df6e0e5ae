"""What a pod can do to the agent of its node: floods of rows and of connections, and when a fault leaves the page."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from ctypes import sizeof
from pathlib import Path

from offbus_agent.lease_time import boottime_ns
from offbus_agent.page.abi import RECORD_COMPLETE, ROWS, EventsHeader, Row
from offbus_agent.page.control import ControlPage
from tests.kits.agent.node_world import Node

POLL = b"GET /faults/f1/events?since=99&wait_s=60 HTTP/1.1\r\nhost: x\r\n\r\n"
HALF_A_HEAD = b"POST /faults/f1/renew HTTP/1.1\r\nhost: x\r\n"


def rows(generation: int, first: int, namespace: int = 0) -> bytes:
    """A full table of processes that do not exist, each with a faulted call: the agent has never seen them.

    They are in that pid namespace, or in several that nobody has seen.
    """
    table = b""
    for number in range(ROWS):
        row = Row(owner=1 + number, pid=first + number, generation=generation)
        row.pid_namespace = namespace or 4026531000 + number % 7
        row.start_ns, row.intercepted, row.faulted = boottime_ns(), 1, 1
        call = row.cuda
        call.state, call.pid, call.tid, call.code = RECORD_COMPLETE, row.pid, row.pid, 719
        call.function, call.at_ns = (type(call.function)(*b"cuMemAlloc_v2")), boottime_ns()
        table += bytes(row)
    assert len(table) == ROWS * sizeof(Row)
    return table


@contextmanager
def rows_flood(node: Node, generation: int) -> Iterator[None]:
    """Write other rows again and again, as fast as a pod can."""
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


@contextmanager
def connections(
    connect: Callable[[], socket.socket], sent: bytes, number: int
) -> Iterator[list[socket.socket]]:
    """So many connections that stay open on this side."""
    with ExitStack() as stack:
        opened = []
        for _ in range(number):
            one = stack.enter_context(connect())
            if sent:
                one.sendall(sent)
            opened.append(one)
        yield opened


def tcp(port: str, peer: str, timeout_s: float | None = None) -> socket.socket:
    """A connection from that address of this machine."""
    return socket.create_connection(("127.0.0.1", int(port)), timeout_s, (peer, 0))


def gone_at(page: Path, until_ns: int) -> int:
    """When the page was empty, read without a pause: shared memory wakes nobody."""
    control = ControlPage.create(page)
    try:
        while control.read().slots:
            assert boottime_ns() < until_ns, "the fault stayed armed"
        return boottime_ns()
    finally:
        control.close()
