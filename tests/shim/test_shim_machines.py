"""Other machines and other C libraries: aarch64 under qemu-user, programs of musl. Debian, Ubuntu:
apt install gcc-aarch64-linux-gnu qemu-user musl-tools
"""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kits.shim.shim_build import PROGRAMS, SHIM
from tests.kits.shim.shim_node import Node, Program

CROSS = "aarch64-linux-gnu-gcc"
EMULATOR = "qemu-aarch64"
SYSROOT = Path("/usr/aarch64-linux-gnu")
LOADERS = ("LD_PRELOAD", "LD_LIBRARY_PATH")
PLAIN = """
#include <dlfcn.h>
#include <stdio.h>
#include <unistd.h>
#include <sys/wait.h>
int main(void) {
  void *self = dlopen(NULL, RTLD_NOW), *absent = dlopen("libcuda.so.1", RTLD_NOW);
  pid_t pid = fork();
  if (pid == 0) _exit(5);
  int status;
  waitpid(pid, &status, 0);
  printf("%d %d %d %d\\n", self != NULL, absent != NULL, dlsym(self, "puts") != NULL, WEXITSTATUS(status));
  return 0;
}
"""


def compile_with(compiler: str, output: Path, *arguments: str | Path) -> Path:
    """Compile with another compiler than the tests' usual one."""
    done = subprocess.run(
        [compiler, "-D_GNU_SOURCE", "-O1", "-o", output, *arguments], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return output


@pytest.fixture(scope="module")
def aarch64(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The C parts and the probes for aarch64."""
    if not shutil.which(CROSS) or not shutil.which(EMULATOR):
        pytest.skip(f"{CROSS} and {EMULATOR} are wanted: apt install gcc-aarch64-linux-gnu qemu-user")
    folder = tmp_path_factory.mktemp("aarch64")
    command = [
        "make",
        "-s",
        "-C",
        SHIM,
        f"CC={CROSS}",
        f"BUILD={folder}",
        f"NATIVE={folder / 'native'}",
        "install",
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    standin = ("-L", folder / "native/standin", "-l:libcuda.so.1")
    compile_with(CROSS, folder / "dlsym", PROGRAMS / "probe.c", "-DVIA_DLSYM")
    compile_with(CROSS, folder / "proc_address", PROGRAMS / "probe.c", "-DVIA_PROC_ADDRESS")
    compile_with(CROSS, folder / "now", PROGRAMS / "probe.c", "-DVIA_LINK", *standin, "-Wl,-z,now")
    return folder


def emulated(program: Path, environment: dict[str, str]) -> list[str | Path]:
    """The command that runs it. The loader's variables are the guest's alone: the emulator is of this machine."""
    told = [word for name in LOADERS if name in environment for word in ("-E", f"{name}={environment[name]}")]
    return [EMULATOR, "-L", SYSROOT, *told, program]


def emulators(environment: dict[str, str], native: Path) -> dict[str, str]:
    """The emulator's own environment, which is also what /proc/self/environ shows to its guest (qemu 7.2)."""
    rest = {name: value for name, value in environment.items() if name not in LOADERS}
    return {**rest, "OFFBUS_REAL_LIBCUDA": str(native / "standin/libcuda.so.1")}


@pytest.fixture
def other_node(tmp_path: Path, aarch64: Path) -> Iterator[Node]:
    """A node whose parts are aarch64's."""
    made = Node(tmp_path, aarch64 / "native")
    yield made
    made.close()


@pytest.mark.parametrize("program", ["dlsym", "proc_address", "now"])
@pytest.mark.parametrize("build", ["preload", "proxy"])
def test_aarch64_sees_the_fault_and_works_without_one(
    other_node: Node, aarch64: Path, program: str, build: str
) -> None:
    environment = other_node.environment() if build == "preload" else other_node.proxied()
    command = emulated(aarch64 / program, environment)
    with Program(command, emulators(environment, other_node.native)) as started:
        assert started.greeting == "ready"
        assert started.asks("init", "use 0", "work", "sync") == ["0", "0", "0", "0"]
        generation = other_node.arm()
        assert started.asks("work", "sync") == ["719", "719"]
        call = other_node.row(generation).cuda
        assert call is not None
        assert call.function == "cuMemAlloc_v2"
        other_node.ctl.disarm("fault-1")
        assert started.asks("work", "sync") == ["0", "0"]


def test_aarch64_objects_load_anywhere(aarch64: Path) -> None:
    """No library, no symbol version: as on x86-64 (test_shim_library.py)."""
    shown = subprocess.run(
        ["readelf", "-W", "-d", "-V", aarch64 / "native/liboffbus.so"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "NEEDED" not in shown
    assert "GLIBC" not in shown


@pytest.mark.parametrize("folder", ["here", "/nowhere", ""], ids=["good page", "missing page", "no page"])
def test_a_dynamic_musl_program_does_not_notice(node: Node, tmp_path: Path, folder: str) -> None:
    if not shutil.which("musl-gcc"):
        pytest.skip("musl-gcc is wanted: apt install musl-tools")
    source = tmp_path / "plain.c"
    source.write_text(PLAIN, encoding="ascii")
    program = compile_with("musl-gcc", tmp_path / "plain", source)
    outcomes = []
    for shim in (False, True):
        environment = node.environment(shim=shim, LD_LIBRARY_PATH="")
        if shim and folder != "here":
            environment["OFFBUS_PAGE_DIR"] = folder
        done = subprocess.run([program], env=environment, capture_output=True, text=True)
        outcomes.append((done.returncode, done.stdout, done.stderr))
    assert outcomes[0] == outcomes[1]
    assert outcomes[0] == (0, "1 0 1 5\n", "")
