"""The list against the newest public headers: no name that a driver may be asked for is missing.

The headers are those of the wheels nvidia-cuda-runtime (cuda.h and its neighbours) and the bindings nvidia-ml-py
(pynvml.py names every NVML function); pip fetches them, so the test is slow, and is skipped without a network.
"""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.kits.shim.shim_build import SHIM

LISTED = {
    line.split()[0]
    for line in (SHIM / "functions.def").read_text(encoding="ascii").splitlines()
    if line[:1] in ("c", "n")
}
WINDOWS = {"cuWGLGetDevice", "cuD3D9GetDevice", "cuD3D10GetDevice", "cuD3D11GetDevice"}
"""In headers of every system, in the driver of one."""


def texts(folder: Path, package: str, pattern: str) -> str:
    """The files of a wheel whose names match, one after the other."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, package]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"{package} cannot be had here: {done.stderr.strip()[-200:]}")
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as files:
        chosen = [name for name in files.namelist() if re.search(pattern, name)]
        return "\n".join(files.read(name).decode("utf-8", "replace") for name in chosen)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_function_of_the_newest_cuda_headers_is_missing(tmp_path: Path) -> None:
    """Declared functions, those that a macro renames to their ABI name, and their per-thread-stream forms."""
    headers = re.sub(
        r"/\*.*?\*/",
        "",
        texts(tmp_path, "nvidia-cuda-runtime", r"/include/cuda(GL|EGL|VDPAU)?(Typedefs)?\.h$"),
        flags=re.DOTALL,
    )
    declared = set(re.findall(r"CUresult\s+CUDAAPI\s+(cu[A-Z]\w+)\s*\(", headers))
    renamed = set(re.findall(r"#\s*define\s+cu[A-Z]\w+\s+(?:__CUDA_API_PT[DS][SZ]\()?(cu[A-Z]\w+)", headers))
    per_thread = {f"{name}_ptsz" for name in re.findall(r"__CUDA_API_PTSZ\((cu[A-Z]\w+)\)", headers)}
    per_thread |= {f"{name}_ptds" for name in re.findall(r"__CUDA_API_PTDS\((cu[A-Z]\w+)\)", headers)}
    assert len(declared) > 450
    assert len(per_thread) > 80
    assert (declared | renamed | per_thread) - LISTED - WINDOWS == set()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_function_of_the_newest_nvml_bindings_is_missing(tmp_path: Path) -> None:
    bindings = texts(tmp_path, "nvidia-ml-py", r"^pynvml\.py$")
    named = set(re.findall(r'_nvmlGetFunctionPointer\("(\w+)"', bindings))
    assert len(named) > 350
    assert named - LISTED == set()
