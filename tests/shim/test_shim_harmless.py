"""What programs do that a shim may stumble over: closed drivers, early constructors, signals, a stderr that is none."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from offbus_agent.page.control import CallClass, FaultMode
from tests.kits.shim.shim_build import PROGRAMS, compile_c
from tests.kits.shim.shim_node import Node, Program

ASKED = """
int cuInit(unsigned flags) {{ return (int)flags * 0; }}
int {0}(void) {{ return {1}; }}
int {2}(void) {{ return {3}; }}
"""
FIRST = ASKED.format("cuCtxSynchronize", 11, "cuStreamQuery", 12)
SECOND = ASKED.format("cuStreamQuery", 22, "cuCtxSynchronize", 21)


def driver(folder: Path, text: str) -> Path:
    """A driver of two functions."""
    folder.mkdir()
    source = folder / "driver.c"
    source.write_text(text, encoding="ascii")
    return compile_c(folder / "libcuda.so.1", source, "-shared", "-fPIC", "-Wno-missing-prototypes")


def test_a_driver_that_was_closed_is_forgotten(node: Node, tmp_path: Path) -> None:
    """Its addresses may be another's by then: here its successor's, whose functions lie the other way round."""
    program = compile_c(tmp_path / "closed", PROGRAMS / "closed.c")
    command = [program, driver(tmp_path / "a", FIRST), driver(tmp_path / "b", SECOND)]
    shown = [
        subprocess.run(command, env=node.environment(shim=shim), capture_output=True, text=True, check=True)
        for shim in (False, True)
    ]
    assert shown[0].stdout.splitlines() == ["11 12", "null null", "21 22", "null null"]
    assert [(done.stdout, done.stderr) for done in shown] == [(shown[0].stdout, "")] * 2


@pytest.mark.parametrize("preloaded", [False, True], ids=["linked", "preloaded before the shim"])
def test_a_constructor_may_use_the_driver(node: Node, tmp_path: Path, preloaded: bool) -> None:
    early = compile_c(tmp_path / "libearly.so", PROGRAMS / "early.c", "-shared", "-fPIC")
    linked = () if preloaded else ("-Wl,--no-as-needed", early)
    probe = compile_c(tmp_path / "probe", PROGRAMS / "probe.c", "-DVIA_DLSYM", *linked)
    for shim in (False, True):
        plain = node.environment(shim=shim)
        before = f"{early}:{plain.get('LD_PRELOAD', '')}" if preloaded else plain.get("LD_PRELOAD", "")
        with Program([probe], {**plain, "LD_PRELOAD": before}) as started:
            assert started.greeting == "early 0 0 2"
            assert [started.answer(), *started.asks("init", "use 0", "sync")] == ["ready", "0", "0", "0"]
            node.arm()
            assert started.ask("sync") == ("719" if shim else "0")
            node.ctl.disarm("fault-1")


def test_a_signal_handler_may_call_the_driver(node: Node, tmp_path: Path) -> None:
    """Also in the middle of a call that the shim is busy with: nothing waits for what it interrupted."""
    path = compile_c(tmp_path / "signals", PROGRAMS / "signals.c")
    with node.start(path) as program:
        assert program.greeting == "ready"
        node.arm(ppm=500_000, seed=1)
        assert program.ask("") == "0"


def test_a_process_that_hangs_in_a_call_can_be_ended(node: Node, programs: Path) -> None:
    generation = node.arm(mode=FaultMode.HANG, classes=CallClass.SYNC)
    command = [programs / "dlsym"]
    with subprocess.Popen(
        command, env=node.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(b"init\nuse 0\nsync\n")
        process.stdin.flush()
        assert b"cuCtxSynchronize hangs" in process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait() == -signal.SIGTERM
    assert node.row(generation).faulted == 1


DAEMON = """
import ctypes, os, sys
os.close(2)
assert os.open(sys.argv[1], os.O_RDWR | os.O_CREAT) == 2
cuda, context = ctypes.CDLL("libcuda.so.1"), ctypes.c_void_p()
cuda.cuInit(0), cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0), cuda.cuCtxSetCurrent(context)
print(cuda.cuCtxSynchronize())
"""


@pytest.mark.parametrize("folder", ["", "/nowhere"], ids=["good page", "no page"])
def test_a_file_that_got_the_number_of_stderr_is_left_alone(node: Node, tmp_path: Path, folder: str) -> None:
    """A daemon closes what it does not want and opens its own: our line is not for its database."""
    node.arm(classes=CallClass.SYNC)
    environment = node.environment(**({"OFFBUS_PAGE_DIR": folder} if folder else {}))
    command = [sys.executable, "-c", DAEMON, tmp_path / "database"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "0\n" if folder else "719\n")
    assert (tmp_path / "database").read_bytes() == b""


def test_what_is_said_is_one_line(node: Node, programs: Path) -> None:
    with node.start(programs / "dlsym", OFFBUS_PAGE_DIR="/no\nwhere\x1b[31m") as program:
        assert program.ask("init") == "0"
        assert program.end() == "offbus: no faults here: /no?where?[31m/ctl cannot be opened\n"


@pytest.mark.parametrize("armed", [False, True], ids=["disarmed", "armed"])
@pytest.mark.parametrize("lookup", ["RTLD_DEFAULT", "RTLD_NEXT"])
def test_no_lookup_finds_a_driver_that_is_not_there(
    node: Node, tmp_path: Path, lookup: str, armed: bool
) -> None:
    if armed:
        node.arm(nvml_err=15)
    source = tmp_path / "lookup.c"
    source.write_text(
        "#include <dlfcn.h>\n#include <stdio.h>\nint main(void) {\n"
        f'  printf("%d %d\\n", dlsym({lookup}, "cuInit") != NULL, dlvsym({lookup}, "nvmlInit_v2", "X") != NULL);\n'
        "  return 0;\n}\n",
        encoding="ascii",
    )
    program = compile_c(tmp_path / "lookup", source)
    for shim in (False, True):
        environment = node.environment(shim=shim, LD_LIBRARY_PATH="")
        done = subprocess.run([program], env=environment, capture_output=True, text=True)
        assert (done.returncode, done.stdout, done.stderr) == (0, "0 0\n", "")


def test_a_deepbind_plug_in_of_an_unprepared_process_is_left_alone(node: Node, programs: Path) -> None:
    """Without a page nothing can be armed: the flag stays, and the library is bound as it asked to be."""
    node.arm()
    command = [programs / "loader", "deepbind", programs / "linked.so"]
    with Program(command, node.environment(OFFBUS_PAGE_DIR=os.devnull)) as program:
        assert program.asks("init", "use 0", "sync") == ["0", "0", "0"]
        assert program.end() == ""
