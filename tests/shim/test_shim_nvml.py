"""What NVML tells of a fault besides its code: events, recovery action, remapped rows, ECC counters, counts."""

import sys
from collections.abc import Iterator

import pytest

from offbus_agent.page.control import FaultMode
from tests.kits.shim.shim_node import GPUS, Node, Program

CLIENT = """
import ctypes, sys
from ctypes import byref, c_uint, c_uint64, c_void_p
nvml, cuda = ctypes.CDLL("libnvidia-ml.so.1"), ctypes.CDLL("libcuda.so.1")
class Event(ctypes.Structure):
    _fields_ = [("device", c_void_p), ("type", c_uint64), ("data", c_uint64), ("gi", c_uint), ("ci", c_uint)]
class Field(ctypes.Structure):
    _fields_ = [("id", c_uint), ("scope", c_uint), ("at", c_uint64), ("us", c_uint64), ("type", c_uint),
                ("result", c_uint), ("value", c_uint64)]
nvml.nvmlInit_v2()
handles = [c_void_p(), c_void_p()]
for i, handle in enumerate(handles):
    nvml.nvmlDeviceGetHandleByIndex_v2(i, byref(handle))
event_set = c_void_p()
nvml.nvmlEventSetCreate(byref(event_set))
def register(mask):
    return [nvml.nvmlDeviceRegisterEvents(handle, c_uint64(mask), event_set) for handle in handles]
def wait(ms):
    event = Event()
    code = nvml.nvmlEventSetWait_v2(event_set, byref(event), ms)
    known = [handle.value for handle in handles]
    return (code, known.index(event.device), event.type, event.data, event.gi) if code == 0 else code
def field(number, gpu):
    value = Field(id=number)
    return nvml.nvmlDeviceGetFieldValues(handles[gpu], 1, byref(value)), value.result, value.value
def rows(gpu):
    numbers = [c_uint() for _ in range(4)]
    return nvml.nvmlDeviceGetRemappedRows(handles[gpu], *map(byref, numbers)), *(n.value for n in numbers)
def ecc(kind, gpu):
    number = c_uint64()
    return nvml.nvmlDeviceGetTotalEccErrors(handles[gpu], kind, 0, byref(number)), number.value
def counts():
    number, codes, other = c_uint(), [], c_void_p()
    nvml.nvmlDeviceGetCount_v2(byref(number)), cuda.cuInit(0)
    codes = [nvml.nvmlDeviceGetHandleByIndex_v2(i, byref(other)) for i in range(number.value)]
    seen = number.value
    cuda.cuDeviceGetCount(byref(number))
    return seen, codes, number.value
def temperature(gpu):
    return nvml.nvmlDeviceGetTemperature(handles[gpu], 0, byref(c_uint()))
print("ready", flush=True)
for line in sys.stdin:
    print(eval(line), flush=True)
"""
XID = 0x8


@pytest.fixture(params=["preload", "proxy"])
def client(node: Node, request: pytest.FixtureRequest) -> Iterator[Program]:
    """A program that evaluates what it is told, under either build."""
    environment = node.environment() if request.param == "preload" else node.proxied()
    with Program([sys.executable, "-c", CLIENT], environment) as program:
        assert program.greeting == "ready"
        yield program


def test_a_critical_xid_is_told_once_to_who_had_registered(node: Node, client: Program) -> None:
    assert client.ask(f"register({XID})") == "[0, 0]"
    assert client.ask("wait(1)") == "10"
    node.arm(gpu=GPUS[1], cuda_err=0, xid=79)
    assert client.ask("wait(60000)") == str((0, 1, XID, 79, 0xFFFFFFFF))
    assert client.ask("wait(1)") == "10"
    node.ctl.disarm("fault-1")
    node.arm(gpu=GPUS[0], cuda_err=0, xid=48)
    assert client.ask("wait(60000)") == str((0, 0, XID, 48, 0xFFFFFFFF))


def test_a_wait_that_has_begun_ends_with_the_event(node: Node, client: Program) -> None:
    client.ask(f"register({XID})")
    client.tell("wait(60000)")
    node.arm(gpu=GPUS[0], cuda_err=0, xid=94)
    assert client.answer() == str((0, 0, XID, 94, 0xFFFFFFFF))


def test_who_registered_later_or_for_something_else_is_told_nothing(node: Node, client: Program) -> None:
    client.ask("register(0x2)")
    node.arm(gpu=GPUS[0], cuda_err=0, xid=79)
    assert client.ask("wait(1)") == "10"
    assert client.ask(f"register({XID})") == "[0, 0]"
    node.ctl.disarm("fault-1")
    assert client.ask("wait(1)") == "10"


def test_several_events_of_a_fault_come_one_after_the_other(node: Node, client: Program) -> None:
    client.ask(f"register({XID | 0x2})")
    node.arm(gpu=GPUS[0], cuda_err=0, xid=48, nvml_events=0x2)
    assert client.asks("wait(60000)[1:4]", "wait(60000)[1:4]") == [str((0, 2, 0)), str((0, XID, 48))]


def test_counters_and_recovery_action_are_those_of_the_faulted_gpu(node: Node, client: Program) -> None:
    questions = (
        "field(230, 0)",
        "field(143, 0)",
        "field(4, 0)",
        "rows(0)",
        "ecc(1, 0)",
        "ecc(0, 0)",
        "field(230, 1)",
        "rows(1)",
    )
    healthy = client.asks(*questions)
    values = {"recovery_action": 1, "remapped_uncorrectable": 2, "remap_pending": 1, "ecc_uncorrected": 3}
    node.arm(gpu=GPUS[0], cuda_err=0, **values)
    shown = client.asks(*questions)
    assert shown[:6] == ["(0, 0, 1)", "(0, 0, 2)", "(0, 0, 3)", "(0, 0, 2, 1, 0)", "(0, 3)", "(0, 0)"]
    assert shown[6:] == healthy[6:]
    node.ctl.disarm("fault-1")
    assert client.asks(*questions) == healthy


def test_a_lost_gpu_is_still_counted_but_cannot_be_had(node: Node, client: Program) -> None:
    """As on hardware (nvidia-smi: unable to determine the device handle), and in step with CUDA's count."""
    assert client.ask("counts()") == str((2, [0, 0], 2))
    node.arm(gpu=GPUS[1], mode=FaultMode.LOST, cuda_err=999, nvml_err=15)
    assert client.ask("counts()") == str((2, [0, 15], 2))
    assert client.asks("temperature(0)", "temperature(1)") == ["0", "15"]


def test_several_faults_at_once_on_different_gpus(node: Node, client: Program) -> None:
    node.arm(fault_id="a", gpu=GPUS[0], cuda_err=0, nvml_err=16)
    node.arm(fault_id="b", gpu=GPUS[1], cuda_err=0, nvml_err=15)
    assert client.asks("temperature(0)", "temperature(1)") == ["16", "15"]
    node.ctl.disarm("a")
    assert client.asks("temperature(0)", "temperature(1)") == ["0", "15"]
