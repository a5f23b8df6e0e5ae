"""The built objects load into any image, and the build does only what is needed."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.kits.shim.shim_build import SHIM

SHIMS = ("liboffbus.so", "proxy/libcuda.so.1", "proxy/libnvidia-ml.so.1")
STANDINS = ("standin/libcuda.so.1", "standin/libnvidia-ml.so.1")
LIBRARIES = (*SHIMS, *STANDINS)
FUNCTIONS = {
    line.split()[0]
    for line in (SHIM / "functions.def").read_text(encoding="ascii").splitlines()
    if line[:1] in "cn"
}


def readelf(*arguments: str | Path) -> str:
    """What readelf prints."""
    return subprocess.run(["readelf", "-W", *arguments], capture_output=True, text=True, check=True).stdout


def symbols(path: Path, *, defined: bool) -> set[str]:
    """Names in the dynamic symbol table."""
    rows = [line.split() for line in readelf("--dyn-syms", path).splitlines() if re.match(r"\s*\d+:", line)]
    return {row[7] for row in rows if len(row) > 7 and (row[6] != "UND") is defined}


def test_the_preload_object_needs_no_library(native: Path) -> None:
    assert "NEEDED" not in readelf("-d", native / SHIMS[0])


@pytest.mark.parametrize("library", SHIMS[1:])
def test_a_proxy_needs_no_more_than_the_driver_that_it_stands_for(native: Path, library: str) -> None:
    needed = re.findall(r"NEEDED.*\[(.+)\]", readelf("-d", native / library))
    assert sorted(needed) == ["libc.so.6", "libdl.so.2"]


@pytest.mark.parametrize("library", SHIMS)
def test_the_shim_takes_one_function_from_outside_and_no_version(native: Path, library: str) -> None:
    """A preload object that needs a newer glibc than the image has kills every process of the pod."""
    assert symbols(native / library, defined=False) == {"dl_iterate_phdr"}
    assert "WEAK" in next(
        line for line in readelf("--dyn-syms", native / library).splitlines() if "UND dl_" in line
    )
    assert "GLIBC" not in readelf("-V", native / library)


def test_the_shim_exports_the_list_and_nothing_else(native: Path) -> None:
    assert symbols(native / SHIMS[0], defined=True) == FUNCTIONS | {"dlsym", "dlvsym", "dlopen"}


@pytest.mark.parametrize(("library", "prefix"), [(SHIMS[1], "cu"), (SHIMS[2], "nvml")])
def test_a_proxy_exports_the_names_of_its_library(native: Path, library: str, prefix: str) -> None:
    names = {f for f in FUNCTIONS if f.startswith(prefix)}
    assert symbols(native / library, defined=True) == names | {"offbus_proxy"}


def test_the_list_covers_both_libraries(native: Path) -> None:
    cuda = {name for name in FUNCTIONS if name.startswith("cu")}
    assert len(cuda) > 650
    assert len(FUNCTIONS - cuda) > 350
    for library in STANDINS:
        assert symbols(native / library, defined=True) <= FUNCTIONS


@pytest.mark.parametrize("library", LIBRARIES)
def test_no_glibc_symbol_is_newer_than_2_17(native: Path, library: str) -> None:
    """What the wheel's tag promises (manylinux_2_17)."""
    versions = [
        tuple(map(int, v.split(".")))
        for v in re.findall(r"GLIBC_(\d+\.\d+)", readelf("-V", native / library))
    ]
    assert max(versions, default=(0, 0)) <= (2, 17)


@pytest.mark.parametrize("library", LIBRARIES)
def test_no_stack_is_executable(native: Path, library: str) -> None:
    (stack,) = [line for line in readelf("-l", native / library).splitlines() if "GNU_STACK" in line]
    assert "RWE" not in stack


def make(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    """Run the Makefile of the shim."""
    return subprocess.run(
        ["make", "-C", SHIM, "--no-print-directory", *arguments], capture_output=True, text=True
    )


def test_a_second_build_does_nothing(build: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in build.rglob("*") if path.is_file()}
    done = make(f"BUILD={build}", f"NATIVE={build / 'native'}", "install")
    assert (done.returncode, done.stderr) == (0, "")
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.parametrize(
    ("setting", "message"),
    [("CC=no-such-cc", "no C compiler ('no-such-cc')"), ("PYTHON=no-such-python", "no 'no-such-python'")],
    ids=["compiler", "python"],
)
def test_a_missing_tool_is_named(tmp_path: Path, setting: str, message: str) -> None:
    done = make(f"BUILD={tmp_path}", setting)
    assert done.returncode != 0
    assert message in done.stderr
    assert "install" in done.stderr


def test_install_wants_to_know_where(build: Path) -> None:
    done = make(f"BUILD={build}", "install")
    assert done.returncode != 0
    assert "make install NATIVE=dir" in done.stderr
