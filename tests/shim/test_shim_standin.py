"""The stand-in driver: it really works, and wrong use gets the driver's own codes."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.kits.shim.shim_build import PROGRAMS, compile_c
from tests.kits.shim.shim_node import GPUS, MEMORY, Node

PRELUDE = """
import ctypes
from ctypes import byref, c_float, c_int, c_size_t, c_uint, c_uint64, c_void_p, create_string_buffer
cuda, nvml = ctypes.CDLL("libcuda.so.1"), ctypes.CDLL("libnvidia-ml.so.1")
def start(device=0):
    context = c_void_p()
    return cuda.cuInit(0), cuda.cuDevicePrimaryCtxRetain(byref(context), device), cuda.cuCtxSetCurrent(context)
def alloc(size):
    pointer = c_uint64()
    return cuda.cuMemAlloc_v2(byref(pointer), c_size_t(size)), pointer
def count(function):
    n = c_int(-1)
    return function(byref(n)), n.value
"""


def run(node: Node, script: str, **more: str) -> str:
    """What a Python program prints that uses the stand-in without the shim."""
    environment = node.environment(shim=False, **more)
    command = [sys.executable, "-c", PRELUDE + script]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize(
    ("variables", "cuda", "nvml"),
    [
        pytest.param({}, "2", "2", id="on the node"),
        pytest.param({"NVIDIA_VISIBLE_DEVICES": "all"}, "2", "2", id="all"),
        pytest.param({"NVIDIA_VISIBLE_DEVICES": GPUS[1]}, "1", "1", id="one by UUID"),
        pytest.param({"NVIDIA_VISIBLE_DEVICES": ",".join(GPUS)}, "2", "2", id="two by UUID"),
        pytest.param({"NVIDIA_VISIBLE_DEVICES": "void"}, "none", "0", id="void"),
        pytest.param({"NVIDIA_VISIBLE_DEVICES": "none"}, "none", "0", id="none"),
        pytest.param({"NVIDIA_VISIBLE_DEVICES": ""}, "none", "0", id="empty"),
        pytest.param({"CUDA_VISIBLE_DEVICES": "1"}, "1", "2", id="CUDA's own choice"),
        pytest.param({"CUDA_VISIBLE_DEVICES": "0,7,1"}, "1", "2", id="up to the first invalid one"),
        pytest.param({"CUDA_VISIBLE_DEVICES": GPUS[1]}, "1", "2", id="CUDA by UUID"),
        pytest.param({"CUDA_VISIBLE_DEVICES": "-1"}, "none", "2", id="CUDA none"),
        pytest.param({"OFFBUS_STANDIN_GPUS": "/nowhere"}, "none", "0", id="no file"),
    ],
)
def test_which_gpus_there_are(node: Node, variables: dict[str, str], cuda: str, nvml: str) -> None:
    script = (
        "code = cuda.cuInit(0)\n"
        "print('none' if code == 100 else count(cuda.cuDeviceGetCount)[1])\n"
        "nvml.nvmlInit_v2()\nprint(count(nvml.nvmlDeviceGetCount_v2)[1])"
    )
    assert run(node, script, **variables).split() == [cuda, nvml]


def test_cuda_and_nvml_agree_on_who_a_gpu_is(node: Node) -> None:
    script = """
start(), nvml.nvmlInit_v2()
handle, (text, uuid, name, pci) = c_void_p(), map(create_string_buffer, (96, 16, 99, 20))
nvml.nvmlDeviceGetHandleByIndex_v2(1, byref(handle)), nvml.nvmlDeviceGetUUID(handle, text, 96)
cuda.cuDeviceGetUuid_v2(uuid, 1), cuda.cuDeviceGetName(name, 99, 1), cuda.cuDeviceGetPCIBusId(pci, 20, 1)
print(text.value.decode(), uuid.raw.hex(), pci.value.decode(), name.value.decode(), sep="|")
"""
    text, uuid, pci, name = run(node, script).split("|")
    assert text == GPUS[1]
    assert uuid == GPUS[1].removeprefix("GPU-").replace("-", "")
    assert (pci, name) == ("0000:5E:00.0", "NVIDIA H100 80GB HBM3")


KERNEL = """
start()
n = 100
_, c = alloc(4 * n * n); _, a = alloc(4 * n * n)
module, function = c_void_p(), c_void_p()
image = b".visible .entry offbus_fill( .visible .entry offbus_add( .visible .entry of_somebody("
print(cuda.cuModuleLoadData(byref(module), image))
def get(name):
    return cuda.cuModuleGetFunction(byref(function), module, name)
def launch(*values, threads=1024):
    pointers = (c_void_p * len(values))(*map(ctypes.addressof, values))
    return cuda.cuLaunchKernel(function, 1, 1, 1, threads, 1, 1, 0, None, pointers, None)
def read(pointer):
    out = (c_float * n)()
    return cuda.cuMemcpyDtoH_v2(out, pointer, c_size_t(4 * n)), out[0], out[n - 1]
"""


def test_kernels_really_compute(node: Node) -> None:
    script = """
print(get(b"offbus_fill"), launch(a, c_float(1.5), c_uint(n)), read(a))
print(get(b"offbus_add"), launch(c, a, a, c_uint(n)), read(c))
print(launch(c, c, a, c_uint(n), threads=1), read(c))
"""
    assert run(node, KERNEL + script).splitlines() == [
        "0",
        "0 0 (0, 1.5, 1.5)",
        "0 0 (0, 3.0, 3.0)",
        "0 (0, 4.5, 3.0)",
    ]


def test_a_kernel_that_leaves_its_memory_breaks_the_context(node: Node) -> None:
    """As on a GPU: the launch succeeds, the next call and all after it say 700."""
    script = """
get(b"offbus_fill")
print(launch(c_uint64(a.value + 4), c_float(1), c_uint(n * n)), cuda.cuCtxSynchronize(), alloc(4)[0])
"""
    assert run(node, KERNEL + script).splitlines() == ["0", "0 700 700"]


@pytest.mark.parametrize(
    ("script", "code"),
    [
        pytest.param("print(count(cuda.cuDeviceGetCount)[0])", 3, id="before cuInit"),
        pytest.param("cuda.cuInit(0); print(cuda.cuCtxSynchronize())", 201, id="without a context"),
        pytest.param("print(cuda.cuInit(1))", 1, id="flags of cuInit"),
        pytest.param("print(start(7)[1])", 101, id="no such device"),
        pytest.param("start(); print(alloc(0)[0])", 1, id="no bytes"),
        pytest.param(f"start(); print(alloc({MEMORY} + 1)[0])", 2, id="more than there is"),
        pytest.param(
            f"start(); alloc({MEMORY} // 2 + 1); print(alloc({MEMORY} // 2)[0])", 2, id="more than is left"
        ),
        pytest.param("start(); print(cuda.cuMemFree_v2(c_uint64(4096)))", 1, id="free of nothing"),
        pytest.param(
            "start(); print(cuda.cuMemsetD8_v2(c_uint64(4096), 0, c_size_t(1)))", 1, id="foreign pointer"
        ),
        pytest.param("start(); print(cuda.cuStreamSynchronize(c_void_p(4096)))", 400, id="no such stream"),
        pytest.param("start(); print(cuda.cuEventQuery(c_void_p(4096)))", 400, id="no such event"),
        pytest.param("start(); print(cuda.cuModuleLoadData(byref(c_void_p()), b''))", 200, id="empty image"),
        pytest.param(
            "start(); print(cuda.cuModuleLoadData(byref(c_void_p()), b'\\x7fELF'))", 209, id="machine code"
        ),
        pytest.param(
            "start(); print(cuda.cuModuleLoad(byref(c_void_p()), b'/nowhere'))", 301, id="no such file"
        ),
        pytest.param(
            "start(); cuda.cuDevicePrimaryCtxReset_v2(0); print(cuda.cuCtxSynchronize())", 201, id="reset"
        ),
        pytest.param("print(nvml.nvmlDeviceGetCount_v2(byref(c_int())))", 1, id="before nvmlInit"),
        pytest.param(
            "nvml.nvmlInit_v2(); print(nvml.nvmlDeviceGetIndex(c_void_p(8), byref(c_int())))", 2, id="no GPU"
        ),
        pytest.param(
            "nvml.nvmlInit_v2(); nvml.nvmlShutdown(); print(nvml.nvmlShutdown())", 1, id="two shutdowns"
        ),
        pytest.param(
            "start(); print(cuda.cuGetExportTable(byref(c_void_p()), b'0' * 16))", 500, id="export tables"
        ),
    ],
)
def test_wrong_use_gets_the_drivers_code(node: Node, script: str, code: int) -> None:
    assert run(node, script) == str(code)


@pytest.mark.parametrize(
    ("name", "code"),
    [("offbus_nothing", 500), ("offbus", 500), ("of_somebody", 801)],
    ids=["absent", "part", "foreign"],
)
def test_a_kernel_that_cannot_be_had(node: Node, name: str, code: int) -> None:
    """Not in the image: not found. In it, but nothing that the stand-in can compute: not supported."""
    assert run(node, KERNEL + f"print(get({name.encode()!r}))").splitlines() == ["0", str(code)]


@pytest.mark.parametrize(
    ("version", "name"), [(11030, "cuCtxCreate_v2"), (11040, "cuCtxCreate_v3"), (12050, "cuCtxCreate_v4")]
)
def test_get_proc_address_answers_by_version(node: Node, version: int, name: str) -> None:
    """The same choice as the real driver's (docs/shim.md)."""
    script = f"""
found, status = c_void_p(), c_int(-1)
code = cuda.cuGetProcAddress_v2(b"cuCtxCreate", byref(found), {version}, c_uint64(0), byref(status))
print(code, status.value, found.value == ctypes.cast(cuda.{name}, c_void_p).value)
"""
    assert run(node, script) == "0 0 True"


def test_get_proc_address_says_what_is_missing(node: Node) -> None:
    script = """
def ask(name, version):
    found, status = c_void_p(), c_int(-1)
    code = cuda.cuGetProcAddress_v2(name, byref(found), version, c_uint64(0), byref(status))
    return code, status.value, found.value
print(ask(b"cuGetProcAddress_v2", 12080), ask(b"cuMemAllocAsync", 10000))
"""
    assert run(node, script) == "(0, 1, None) (0, 2, None)"


def test_a_malformed_line_of_the_gpu_file_is_named_and_left_out(node: Node, tmp_path: Path) -> None:
    path = tmp_path / "odd"
    good = (node.folder / "gpus").read_text(encoding="ascii").splitlines()[0]
    path.write_text(f"# GPUs\nGPU-12 here\n{good}\n", encoding="ascii")
    environment = node.environment(shim=False, OFFBUS_STANDIN_GPUS=str(path))
    command = [sys.executable, "-c", PRELUDE + "nvml.nvmlInit_v2(); print(count(nvml.nvmlDeviceGetCount_v2))"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(0, 1)"
    assert f"{path}:2: expected" in done.stderr


@pytest.mark.parametrize("shim", [False, True], ids=["alone", "under the shim"])
def test_a_process_forks_while_its_threads_are_in_the_driver(
    node: Node, native: Path, tmp_path: Path, shim: bool
) -> None:
    """A lock that a thread held at the fork is not its child's to wait for; nor a handler's that interrupted it."""
    libraries = ("-L", native / "standin", "-l:libcuda.so.1", "-l:libnvidia-ml.so.1")
    program = compile_c(tmp_path / "forks", PROGRAMS / "forks.c", *libraries)
    done = subprocess.run([program], env=node.environment(shim=shim), capture_output=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"0\n", b"")
