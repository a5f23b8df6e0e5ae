"""Which calls of which processes on which GPUs fail."""

import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from offbus_agent.page.control import CallClass, FaultMode, Slot
from tests.kits.shim.shim_node import GPUS, PCI, Node, Program

Probe = Callable[..., Program]


def sync_on_both(program: Program) -> list[str]:
    """The codes of cuCtxSynchronize on GPU 0 and on GPU 1."""
    return [program.asks(f"use {device}", "sync")[1] for device in (0, 1)]


@pytest.mark.parametrize(
    ("where", "codes"),
    [
        pytest.param({}, ["719", "719"], id="every GPU"),
        pytest.param({"gpu": GPUS[0]}, ["719", "0"], id="first by UUID"),
        pytest.param({"gpu": GPUS[1]}, ["0", "719"], id="second by UUID"),
        pytest.param({"pci": PCI[1]}, ["0", "719"], id="second by PCI address"),
        pytest.param({"gpu": GPUS[1], "pci": PCI[0]}, ["0", "719"], id="UUID wins over PCI address"),
        pytest.param(
            {"gpu": "GPU-00000000-0000-0000-0000-000000000009"}, ["0", "0"], id="GPU of another node"
        ),
    ],
)
def test_a_fault_is_on_its_gpu(node: Node, probe: Probe, where: dict[str, str], codes: list[str]) -> None:
    program = probe()
    assert sync_on_both(program) == ["0", "0"]
    node.arm(**where)
    assert sync_on_both(program) == codes


def test_gpus_are_known_by_uuid_not_by_ordinal(node: Node, probe: Probe) -> None:
    program = probe(CUDA_VISIBLE_DEVICES="1,0")
    node.arm(gpu=GPUS[1])
    assert sync_on_both(program) == ["719", "0"]


def test_a_container_with_one_gpu_sees_only_faults_of_that_one(node: Node, probe: Probe) -> None:
    program = probe(NVIDIA_VISIBLE_DEVICES=GPUS[1])
    assert program.ask("count") == "0 1"
    node.arm(gpu=GPUS[0])
    assert program.ask("sync") == "0"
    node.arm(fault_id="fault-2", gpu=GPUS[1], cuda_err=214)
    assert program.ask("sync") == "214"


def test_two_faults_on_two_gpus_have_a_code_each(node: Node, probe: Probe) -> None:
    program = probe()
    node.ctl.arm(
        [
            Slot(fault_id="a", gpu=GPUS[0], cuda_err=719, classes=CallClass.SYNC, new_procs=True),
            Slot(fault_id="b", gpu=GPUS[1], cuda_err=214, classes=CallClass.SYNC, new_procs=True),
        ]
    )
    assert sync_on_both(program) == ["719", "214"]


def test_only_the_classes_of_the_mask_fail(node: Node, probe: Probe) -> None:
    program = probe()
    node.arm(classes=CallClass.SYNC)
    assert program.asks("alloc", "sync", "free") == ["0", "719", "0"]


def test_meta_calls_never_fail(node: Node, probe: Probe) -> None:
    """cudart refuses a driver whose version, devices or tables look wrong (docs/shim.md)."""
    program = probe()
    node.arm(cuda_err=999, mode=FaultMode.LOST)
    assert program.asks("version", "count", "use 0") == ["0 12080", "0 2", "0"]


def test_a_faulted_free_still_frees(node: Node, probe: Probe) -> None:
    program = probe()
    assert program.asks("alloc", "used") == ["0", "4096"]
    node.arm(classes=CallClass.ALLOC)
    assert program.ask("free") == "719"
    node.ctl.disarm("fault-1")
    assert program.ask("used") == "0"


def test_a_lost_gpu_is_not_spoken_to(node: Node, probe: Probe) -> None:
    program = probe()
    assert program.asks("alloc", "used") == ["0", "4096"]
    node.arm(mode=FaultMode.LOST, classes=CallClass.ALLOC)
    assert program.ask("free") == "719"
    node.ctl.disarm("fault-1")
    assert program.ask("used") == "4096"


def test_a_contained_fault_leaves_new_processes_alone(node: Node, probe: Probe) -> None:
    """XID 94: who was there fails, who comes later works."""
    old = probe()
    node.arm(new_procs=False)
    assert (old.ask("sync"), probe().ask("sync")) == ("719", "0")


def test_a_forked_child_is_a_process_of_its_own(node: Node, probe: Probe) -> None:
    """The stand-in, like CUDA, is not initialised in a child (3); a fault on every GPU shows there all the same."""
    program = probe()
    assert program.ask("fork") == "3"
    node.arm(cuda_err=214)
    assert program.asks("sync", "fork") == ["214", "214"]
    node.ctl.disarm("fault-1")
    assert program.asks("sync", "fork") == ["0", "3"]


def test_the_first_calls_of_a_process_may_succeed(node: Node, probe: Probe) -> None:
    program = probe()
    node.arm(after_calls=3)
    assert program.asks(*["sync"] * 5) == ["0", "0", "0", "719", "719"]


@pytest.mark.parametrize(("ppm", "fails"), [(0, 0), (1_000_000, 40)], ids=["never", "always"])
def test_probabilities_at_the_ends(node: Node, probe: Probe, ppm: int, fails: int) -> None:
    program = probe()
    node.arm(ppm=ppm)
    assert program.asks(*["sync"] * 40).count("719") == fails


def test_which_calls_fail_follows_from_the_seed(node: Node, probe: Probe) -> None:
    def pattern(fault_id: str, seed: int) -> list[str]:
        program = probe()
        node.arm(fault_id=fault_id, ppm=500_000, seed=seed)
        codes = program.asks(*["sync"] * 64)
        node.ctl.disarm(fault_id)
        return codes

    first, again, other = pattern("a", 1), pattern("b", 1), pattern("c", 2)
    assert first == again != other
    assert {"0", "719"} == set(first)


def nvml(node: Node, *calls: str) -> str:
    """Results of NVML calls on GPU 0, made by a new process."""
    script = (
        "import ctypes\nn, h, i = ctypes.CDLL('libnvidia-ml.so.1'), ctypes.c_void_p(), ctypes.c_uint()\n"
        "print('ready', flush=True)\ninput()\nn.nvmlInit_v2()\n"
        "r = [n.nvmlDeviceGetHandleByIndex_v2(0, ctypes.byref(h))]\n"
    )
    script += "\n".join(f"r.append(n.{call}(h, ctypes.byref(i)))" for call in calls)
    with node.start(sys.executable, "-c", f"{script}\nprint(*r, flush=True)") as program:
        return program.ask("go")


@pytest.mark.parametrize(
    ("values", "results"),
    [
        pytest.param(
            {"mode": FaultMode.ERROR}, "0 0 15", id="error: the device is known and its state is not"
        ),
        pytest.param({"mode": FaultMode.LOST}, "15 15 15", id="lost: not even a handle"),
        pytest.param({"gpu": GPUS[1]}, "0 0 0", id="another GPU"),
        pytest.param({"nvml_err": 0}, "0 0 0", id="no NVML code"),
        pytest.param({"classes": CallClass.SYNC}, "0 0 0", id="class not in the mask"),
    ],
)
def test_nvml_of_a_faulted_gpu(node: Node, values: dict[str, Any], results: str) -> None:
    node.arm(**{"gpu": GPUS[0], "nvml_err": 15, **values})
    assert nvml(node, "nvmlDeviceGetIndex", "nvmlDeviceGetPowerUsage") == results


@pytest.mark.parametrize(
    ("gpus", "new_procs", "code"),
    [
        pytest.param(GPUS, True, "100", id="all its GPUs are lost"),
        pytest.param(GPUS[:1], True, "0", id="one of two"),
        pytest.param(GPUS, False, "0", id="contained"),
    ],
)
def test_cuda_does_not_start_without_any_gpu(
    node: Node, programs: Path, gpus: tuple[str, ...], new_procs: bool, code: str
) -> None:
    """cuInit fails only for a process all of whose GPUs are faulted, and only where new processes are concerned."""
    ids = itertools.count()
    slots = [
        Slot(
            fault_id=f"f-{next(ids)}",
            gpu=gpu,
            cuda_err=100,
            mode=FaultMode.LOST,
            classes=CallClass.INIT | CallClass.CTX,
            new_procs=new_procs,
        )
        for gpu in gpus
    ]
    node.ctl.arm(slots)
    with node.start(programs / "dlsym") as program:
        assert program.ask("init") == code


def test_a_context_on_a_lost_gpu_cannot_be_made(node: Node, programs: Path) -> None:
    node.arm(gpu=GPUS[0], cuda_err=999, classes=CallClass.CTX)
    with node.start(programs / "dlsym") as program:
        assert program.asks("init", "use 0", "use 1", "sync") == ["0", "999", "0", "0"]
