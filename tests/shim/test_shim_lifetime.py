"""When a fault begins and ends, for processes that run through it."""

import select
import sys
from collections.abc import Callable

import pytest

from offbus_agent.page.abi import Ctl
from offbus_agent.page.control import CallClass, FaultMode
from tests.kits.shim.shim_node import GPUS, Node, Program, hung, now_ns

Probe = Callable[..., Program]
HOUR = 3_600_000_000_000


def test_a_fault_past_its_end_is_ignored(node: Node, probe: Probe) -> None:
    program = probe()
    node.arm(expires_ns=now_ns() + HOUR)
    assert program.ask("sync") == "719"
    node.ctl.renew("fault-1", now_ns() - 1)
    assert program.ask("sync") == "0"


@pytest.mark.parametrize("age_ns", [2 * HOUR, -2 * HOUR], ids=["stale", "from the future"])
def test_without_a_living_agent_nothing_is_in_force(node: Node, probe: Probe, age_ns: int) -> None:
    program = probe()
    node.arm()
    assert program.ask("sync") == "719"
    node.ctl.heartbeat(now_ns() - age_ns)
    assert program.ask("sync") == "0"
    node.ctl.heartbeat(now_ns())
    assert program.ask("sync") == "719"


def test_a_page_of_another_boot_is_ignored(node: Node, probe: Probe) -> None:
    program = probe()
    node.arm()
    assert program.ask("sync") == "719"
    path = node.folder / "ctl"
    with path.open("r+b") as file:
        file.seek(Ctl.boot_id_hash.offset)
        file.write(bytes(8))
    assert program.ask("sync") == "0"


def test_a_change_that_its_writer_never_finished_counts_as_disarmed(node: Node, probe: Probe) -> None:
    program = probe()
    node.arm()
    with (node.folder / "ctl").open("r+b") as file:
        file.seek(Ctl.seq.offset)
        file.write((1).to_bytes(4, "little"))
    assert program.ask("sync") == "0"


def test_after_a_sticky_fault_everything_fails_until_it_is_over(node: Node, probe: Probe) -> None:
    program = probe()
    node.arm(classes=CallClass.SYNC, sticky=True)
    assert program.asks("alloc", "sync", "alloc", "work") == ["0", "719", "719", "719"]
    node.ctl.disarm("fault-1")
    assert program.asks("alloc", "sync", "work") == ["0", "0", "0"]


def test_stickiness_is_per_device(node: Node, probe: Probe) -> None:
    program = probe()
    node.arm(classes=CallClass.SYNC, sticky=True)
    assert program.asks("sync", "use 1", "alloc", "use 0", "alloc") == ["719", "0", "0", "0", "719"]


def test_the_next_arming_starts_afresh(node: Node, probe: Probe) -> None:
    program = probe()
    first = node.arm(classes=CallClass.SYNC, sticky=True, after_calls=1)
    assert program.asks("sync", "sync", "alloc") == ["0", "719", "719"]
    second = node.arm(classes=CallClass.SYNC, sticky=True, after_calls=1)
    assert second > first
    assert program.asks("alloc", "sync", "sync") == ["0", "0", "719"]


def test_renewing_keeps_what_processes_remember(node: Node, probe: Probe) -> None:
    program = probe()
    node.arm(classes=CallClass.SYNC, sticky=True)
    assert program.asks("sync", "alloc") == ["719", "719"]
    node.ctl.renew("fault-1", now_ns() + HOUR)
    assert program.ask("alloc") == "719"


def test_another_fault_that_comes_and_goes_does_not_end_the_first(node: Node, probe: Probe) -> None:
    program = probe()
    node.arm(gpu=GPUS[0], classes=CallClass.SYNC, sticky=True)
    assert program.asks("sync", "alloc") == ["719", "719"]
    node.arm(fault_id="fault-2", gpu=GPUS[1])
    assert program.ask("alloc") == "719"
    node.ctl.disarm("fault-2")
    assert program.ask("alloc") == "719"


def test_a_fault_may_outlive_its_arming(node: Node, probe: Probe) -> None:
    """As on hardware: the process stays broken on that GPU; a process that was not faulted works."""
    program, other = probe(), probe()
    node.arm(gpu=GPUS[0], sticky=True, survive_disarm=True)
    assert program.ask("sync") == "719"
    node.ctl.disarm("fault-1")
    assert program.asks("sync", "alloc", "use 1", "sync", "version") == ["719", "719", "0", "0", "0 12080"]
    assert other.ask("sync") == "0"


def test_a_call_that_hangs_is_made_when_the_fault_is_over(node: Node, probe: Probe) -> None:
    program, bell = probe(), hung(node)
    generation = node.arm(mode=FaultMode.HANG, classes=CallClass.SYNC)
    assert program.ask("alloc") == "0"
    bell.silence()  # the call was counted, which rings too
    program.tell("sync")
    assert select.select([bell.fd], [], [], 60)[0] == [bell.fd]
    bell.close()
    call = node.row(generation).cuda
    assert call is not None
    assert (call.function, call.code) == ("cuCtxSynchronize", 0)
    assert not program.has_answered()
    node.ctl.disarm("fault-1")
    assert program.answer() == "0"


def test_a_delayed_call_is_made_later(node: Node, probe: Probe) -> None:
    program = probe()
    generation = node.arm(mode=FaultMode.DELAY, delay_us=30_000, classes=CallClass.SYNC)
    assert program.ask("sync") == "0"
    call = node.row(generation).cuda
    assert call is not None
    assert now_ns() - call.at_ns >= 30_000_000


def test_the_first_faulted_call_is_announced_once(node: Node, probe: Probe) -> None:
    program = probe()
    node.arm(fault_id="drill-42", sticky=True)
    program.asks("sync", "sync", "alloc")
    (line,) = program.end().splitlines()
    assert "drill-42" in line
    assert "cuCtxSynchronize answers 719" in line


THREADS = """
import ctypes, sys, threading
cuda, context, over, seen = ctypes.CDLL("libcuda.so.1"), ctypes.c_void_p(), threading.Event(), set()
cuda.cuInit(0), cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0)
def call():
    cuda.cuCtxSetCurrent(context)
    while not over.is_set():
        seen.add(cuda.cuCtxSynchronize())
threads = [threading.Thread(target=call) for _ in range(2)]
[thread.start() for thread in threads]
print("ready", flush=True)
sys.stdin.readline(), over.set(), [thread.join() for thread in threads]
print(sorted(seen), flush=True)
"""


def test_many_threads_and_many_changes_never_mix_two_faults(node: Node) -> None:
    """A call sees a whole state of the page: the codes that were armed, or success; never a bit of each."""
    with node.start(sys.executable, "-c", THREADS) as program:
        for _ in range(100):
            node.arm(gpu=GPUS[0], cuda_err=719, sticky=True)
            node.arm(gpu=GPUS[1], cuda_err=214)
            node.ctl.disarm("fault-1")
        node.arm(cuda_err=719)
        bell = hung(node)
        assert select.select([bell.fd], [], [], 60)[0] or node.events.read()
        bell.close()
        assert program.ask("over") == "[0, 719]"
