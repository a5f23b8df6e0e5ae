"""Sixty-four processes at once: a call that begins after the page was written sees what was written.

What is compared are times on the page's own clock, taken in one process before a call and in the other after the
write returned; nothing here depends on how fast anything is.
"""

import select
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.kits.shim.shim_build import PROGRAMS, compile_c
from tests.kits.shim.shim_node import Node, Program, hung, now_ns

PROCESSES = 64


@pytest.fixture
def callers(node: Node, build: Path) -> Iterator[list[Program]]:
    """Processes that call all the time."""
    path = build / "programs" / "caller"
    path.parent.mkdir(exist_ok=True)
    compile_c(path, PROGRAMS / "caller.c")
    with ExitStack() as stack:
        started = [stack.enter_context(node.start(path)) for _ in range(PROCESSES)]
        assert {program.greeting for program in started} == {"ready"}
        yield started


def ended(programs: list[Program]) -> list[list[int]]:
    """What each saw: first faulted, last faulted, last good call, and how many."""
    for program in programs:
        program.tell("")
    return [[int(word) for word in program.answer().split()] for program in programs]


def wait_for_rows(node: Node, generation: int) -> None:
    """Until every process has reported a faulted call; the watchdog is pytest's."""
    bell = hung(node)
    try:
        while (
            len([row for row in node.events.read() if row.generation == generation and row.faulted])
            < PROCESSES
        ):
            select.select([bell.fd], [], [])  # a row is written after what it tells
            bell.silence()
    finally:
        bell.close()


def test_no_call_begun_after_arming_succeeds(node: Node, callers: list[Program]) -> None:
    generation = node.arm()
    armed_ns = now_ns()
    wait_for_rows(node, generation)
    for first_faulted, last_faulted, last_good, _ in ended(callers):
        assert first_faulted
        assert last_faulted >= armed_ns
        assert last_good < armed_ns


def test_no_call_begun_after_disarming_fails(node: Node, callers: list[Program]) -> None:
    generation = node.arm()
    wait_for_rows(node, generation)
    node.ctl.disarm("fault-1")
    disarmed_ns = now_ns()
    rows = ended(callers)
    for first_faulted, last_faulted, _, _ in rows:
        assert first_faulted
        assert last_faulted < disarmed_ns
    assert any(last_good > disarmed_ns for _, _, last_good, _ in rows)


def test_no_call_begun_after_an_expiry_fails_in_a_process_that_slept_through_it(
    node: Node, callers: list[Program]
) -> None:
    generation = node.arm(expires_ns=now_ns() + 3_600_000_000_000)
    wait_for_rows(node, generation)
    for program in callers:
        program.signal(signal.SIGSTOP)
    for program in callers:
        program.wait_until_stopped()
    node.ctl.renew("fault-1", now_ns())
    continued_ns = now_ns()
    for program in callers:
        program.signal(signal.SIGCONT)
    rows = ended(callers)
    assert all(last_faulted and last_faulted < continued_ns for _, last_faulted, _, _ in rows)
