"""Real clients of the driver: disarmed they run as without the shim, armed they fail with the right code by name."""

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from offbus_agent.page.control import FaultMode
from tests.kits.shim.shim_node import GPUS, Node, Program

Client = Callable[..., Path]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

BINDINGS = """
import ctypes, sys
from cuda.bindings import driver
def ok(answer):
    if answer[0] != driver.CUresult.CUDA_SUCCESS:
        raise SystemError(answer[0].name)
    return answer[1] if len(answer) == 2 else answer[1:]
ok(driver.cuInit(0))
device = ok(driver.cuDeviceGet(0))
context = ok(driver.cuDevicePrimaryCtxRetain(device))
ok(driver.cuCtxSetCurrent(context))
module = ok(driver.cuModuleLoadData(b".visible .entry offbus_fill(\\0"))
kernel = ok(driver.cuModuleGetFunction(module, b"offbus_fill"))
stream, memory = ok(driver.cuStreamCreate(0)), ok(driver.cuMemAlloc(1024))
pool = ok(driver.cuDeviceGetDefaultMemPool(device))
mode = driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_GLOBAL
ok(driver.cuStreamBeginCapture(stream, mode))
arguments = ((memory, ctypes.c_float(2.5), 256), (None, ctypes.c_float, ctypes.c_uint))
ok(driver.cuLaunchKernel(kernel, 1, 1, 1, 256, 1, 1, 0, stream, arguments, 0))
graph = ok(driver.cuGraphInstantiate(ok(driver.cuStreamEndCapture(stream)), 0))
host = (ctypes.c_float * 256)()
def work():
    ok(driver.cuMemsetD32(memory, 0, 256))
    ok(driver.cuGraphLaunch(graph, stream))
    ok(driver.cuMemFreeAsync(ok(driver.cuMemAllocFromPoolAsync(64, pool, stream)), stream))
    ok(driver.cuStreamSynchronize(stream))
    ok(driver.cuMemcpyDtoH(ctypes.addressof(host), memory, 1024))
    return host[0], host[255], ok(driver.cuDriverGetVersion()), ok(driver.cuDeviceGetCount())
print("ready", flush=True)
for _ in sys.stdin:
    try:
        print(work(), flush=True)
    except SystemError as err:
        print(err, flush=True)
"""
NVML = """
import sys
import pynvml
pynvml.nvmlInit()
handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
print("ready", flush=True)
def one(handle):
    try:
        return pynvml.nvmlDeviceGetUUID(handle), pynvml.nvmlDeviceGetTemperature(handle, 0), list(
            pynvml.nvmlDeviceGetRemappedRows(handle))
    except pynvml.NVMLError as err:
        return type(err).__name__
for _ in sys.stdin:
    print([one(handle) for handle in handles], flush=True)
"""


def builds(node: Node) -> dict[str, dict[str, str]]:
    """Without the shim, and with each of its builds."""
    return {"bare": node.environment(shim=False), "preload": node.environment(), "proxy": node.proxied()}


def test_cuda_bindings(node: Node, client: Client) -> None:
    python = client("cuda-bindings")
    disarmed = {}
    for build, environment in builds(node).items():
        with Program([python, "-c", BINDINGS], environment) as program:
            assert program.greeting == "ready", program.end()
            disarmed[build] = program.ask("?")
            if build == "bare":
                continue
            for code, name in (
                (719, "CUDA_ERROR_LAUNCH_FAILED"),
                (220, "CUDA_ERROR_NVLINK_UNCORRECTABLE"),
                (226, "CUDA_ERROR_CONTAINED"),
            ):
                node.arm(gpu=GPUS[0], cuda_err=code)
                assert program.ask("?") == name
                node.ctl.disarm("fault-1")
            assert program.ask("?") == disarmed[build]
    assert set(disarmed.values()) == {"(2.5, 2.5, 12080, 2)"}


def test_nvidia_ml_py(node: Node, client: Client) -> None:
    python = client("nvidia-ml-py")
    disarmed = {}
    for build, environment in builds(node).items():
        with Program([python, "-c", NVML], environment) as program:
            assert program.greeting == "ready", program.end()
            disarmed[build] = program.ask("?")
            if build == "bare":
                continue
            node.arm(gpu=GPUS[1], mode=FaultMode.LOST, cuda_err=999, nvml_err=15)
            healthy, lost = eval(program.ask("?"))  # noqa: S307 (our own script's output)
            assert (healthy[0], lost) == (GPUS[0], "NVMLError_GpuIsLost")
            node.ctl.disarm("fault-1")
    assert len(set(disarmed.values())) == 1


def table(python: Path, environment: dict[str, str]) -> str:
    """nvitop's picture of the GPUs: without times, load and the processes of this machine."""
    command = [python, "-W", "ignore", "-m", "nvitop", "--once", "--no-unicode"]
    done = subprocess.run(
        command,
        env={**environment, "HOME": environment["OFFBUS_STANDIN_GPUS"], "TERM": "dumb"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    rows = done.stdout.splitlines()
    shown = [row for row in rows if re.search(r"H100|GPU|MiB|Driver", row) and "CPU" not in row]
    return "\n".join(shown)


def test_nvitop(node: Node, client: Client) -> None:
    python = client("nvitop")
    disarmed = {build: table(python, environment) for build, environment in builds(node).items()}
    assert len(set(disarmed.values())) == 1
    assert disarmed["bare"].count("34C") + disarmed["bare"].count("1024MiB") >= 2
    node.arm(gpu=GPUS[1], mode=FaultMode.LOST, cuda_err=999, nvml_err=15)
    for build in ("preload", "proxy"):
        armed = table(python, builds(node)[build])
        assert armed != disarmed["bare"]
        assert "GPU is Lost" in armed or "Lost" in armed or "N/A" in armed


TORCH = """
import torch
print(torch.__version__.split("+")[0] != "", torch.cuda.device_count(), torch.cuda.is_available())
try:
    torch.zeros(1, device="cuda")
except (RuntimeError, AssertionError) as err:
    print(type(err).__name__, str(err).splitlines()[0])
"""


@pytest.mark.skipif(
    "OFFBUS_TEST_TORCH" not in os.environ, reason="PyTorch's wheels are gigabytes: set OFFBUS_TEST_TORCH=1"
)
def test_pytorch_ends_where_a_stand_in_driver_must_end(node: Node, client: Client) -> None:
    """It counts devices by NVML; then cudart refuses the driver, with and without the shim."""
    python = client("torch")
    outcomes = {}
    for build, environment in builds(node).items():
        done = subprocess.run(
            [python, "-W", "ignore", "-c", TORCH], env=environment, capture_output=True, text=True
        )
        outcomes[build] = (done.returncode, done.stdout)
    assert outcomes["bare"] == outcomes["preload"] == outcomes["proxy"]
    assert outcomes["bare"][0] == 0
    assert outcomes["bare"][1].startswith("True 2 ")
