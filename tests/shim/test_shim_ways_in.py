"""However a program gets at the driver, the shim is in between, and while nothing is armed it changes nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kits.shim.shim_node import GPUS, Node

WAYS = {
    "dlopen and dlsym": ["dlsym"],
    "cuGetProcAddress": ["proc_address"],
    "linked, bound lazily": ["lazy"],
    "linked, bound at start": ["now"],
    "RTLD_DEEPBIND plug-in, linked": ["loader", "deepbind", "linked.so"],
    "RTLD_DEEPBIND plug-in, dlsym": ["loader", "deepbind", "dlsym.so"],
}
SCRIPT = """
import ctypes, sys
cuda, nvml = ctypes.CDLL("libcuda.so.1"), ctypes.CDLL("libnvidia-ml.so.1")
context, handle, number = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_uint()
nvml.nvmlInit_v2(), cuda.cuInit(0)
cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), 1), cuda.cuCtxSetCurrent(context)
nvml.nvmlDeviceGetHandleByIndex_v2(1, ctypes.byref(handle))
print("ready", flush=True)
for _ in sys.stdin:
    temperature = nvml.nvmlDeviceGetTemperature(handle, 0, ctypes.byref(number))
    print(cuda.cuCtxSynchronize(), temperature, flush=True)
"""
ways = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


def command(programs: Path, way: list[str]) -> list[Path]:
    """The words of a way are files among the compiled programs, but for what the loader is told to do."""
    return [Path(word) if word == "deepbind" else programs / word for word in way]


@ways
def test_disarmed_it_changes_nothing(node: Node, programs: Path, way: list[str]) -> None:
    questions = (
        "version",
        "count",
        "sync",
        "init",
        "use 1",
        "work",
        "alloc",
        "used",
        "free",
        "used",
        "use 7",
    )
    outcomes = []
    for shim in (False, True):
        with node.start(*command(programs, way), shim=shim) as program:
            outcomes.append([program.greeting, *program.asks(*questions), program.end()])
    assert outcomes[0] == outcomes[1]
    assert outcomes[0][:7] == ["ready", "0 12080", "3 0", "3", "0", "0", "0"]


@ways
def test_armed_it_fails_with_the_code_until_disarmed(node: Node, programs: Path, way: list[str]) -> None:
    with node.start(*command(programs, way)) as program:
        assert program.asks("init", "use 0", "work") == ["0", "0", "0"]
        node.arm(cuda_err=719)
        assert program.asks("work", "sync") == ["719", "719"]
        node.ctl.disarm("fault-1")
        assert program.asks("work", "sync") == ["0", "0"]


def test_ctypes_calls_of_cuda_and_nvml_fail(node: Node) -> None:
    with node.start(sys.executable, "-c", SCRIPT) as program:
        assert program.ask("?") == "0 0"
        node.arm(gpu=GPUS[1], cuda_err=999, nvml_err=15)
        assert program.ask("?") == "999 15"
        node.ctl.disarm("fault-1")
        assert program.ask("?") == "0 0"


def test_other_ways_to_dlsym_end_at_the_shim_too(node: Node, programs: Path) -> None:
    done = subprocess.run(
        [programs / "versioned"], env=node.environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout == "1 1 1\n"


def test_it_is_chained_before_another_preloaded_object(node: Node, programs: Path, native: Path) -> None:
    """A second object that is preloaded after it (here libnvidia-ml, harmless) does not come in between."""
    preload = f"{native / 'liboffbus.so'}{os.pathsep}{native / 'standin/libnvidia-ml.so.1'}"
    with node.start(programs / "dlsym", LD_PRELOAD=preload) as program:
        assert program.asks("init", "use 0", "sync") == ["0", "0", "0"]
        node.arm()
        assert program.ask("sync") == "719"
