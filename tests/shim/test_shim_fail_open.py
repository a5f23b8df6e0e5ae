"""Whatever is wrong, programs run as without the shim."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from shim_node import Node, now_ns

from offbus_agent.page_abi import ABI_MAJOR, CTL_MAGIC, Ctl

Spoil = Callable[[Path], object]


def write(**values: int) -> Spoil:
    """A file of the right size with a header that is right but for these values."""
    right = {"magic": CTL_MAGIC, "abi_major": ABI_MAJOR, "size": 4096, "armed": 1, "nslots": 16}
    return lambda path: path.write_bytes(bytes(Ctl(**{**right, **values})))


SPOILT_CTL: dict[str, Spoil] = {
    "missing": lambda path: path.unlink(),
    "short": lambda path: os.truncate(path, 100),
    "empty": lambda path: os.truncate(path, 0),
    "long": lambda path: os.truncate(path, 8192),
    "another magic": write(magic=1),
    "another version": write(abi_major=ABI_MAJOR + 1),
    "another size within": write(size=512),
    "a folder": lambda path: path.rename(path.with_name("old")).with_name("ctl").mkdir(),
}
SPOILT_EVENTS: dict[str, Spoil] = {
    "missing": lambda path: path.unlink(),
    "short": lambda path: os.truncate(path, 100),
    "another magic": lambda path: path.write_bytes(bytes(131072)),
}


@pytest.mark.parametrize("spoil", SPOILT_CTL.values(), ids=SPOILT_CTL)
def test_without_a_good_control_page_nothing_is_faulted(node: Node, programs: Path, spoil: Spoil) -> None:
    node.arm()
    spoil(node.folder / "ctl")
    with node.start(programs / "dlsym") as program:
        assert program.asks("init", "use 0", "work") == ["0", "0", "0"]
        (line,) = program.end().splitlines()
    assert str(node.folder / "ctl") in line
    assert line.startswith("offbus: ")


@pytest.mark.parametrize("spoil", SPOILT_EVENTS.values(), ids=SPOILT_EVENTS)
def test_without_a_good_events_page_faults_show_unrecorded(node: Node, programs: Path, spoil: Spoil) -> None:
    spoil(node.folder / "events")
    with node.start(programs / "dlsym") as program:
        assert program.asks("init", "use 0", "work") == ["0", "0", "0"]
        node.arm()
        assert program.ask("sync") == "719"
        problem, fault = program.end().splitlines()
    assert str(node.folder / "events") in problem
    assert "fault-1" in fault


def test_a_zeroed_slot_table_with_the_word_set_is_nothing_in_force(node: Node, programs: Path) -> None:
    """An armed word alone faults nothing: it only sends calls the slow way."""
    write(boot_id_hash=0, heartbeat_ns=now_ns(), heartbeat_ttl_ns=10**15)(node.folder / "ctl")
    with node.start(programs / "dlsym") as program:
        assert program.asks("init", "use 0", "work") == ["0", "0", "0"]


def test_without_a_page_folder_it_is_silent_and_idle(node: Node, programs: Path) -> None:
    with node.start(programs / "dlsym", OFFBUS_PAGE_DIR="") as program:
        node.arm()
        assert program.asks("init", "use 0", "work") == ["0", "0", "0"]
        assert program.end() == ""


@pytest.mark.parametrize("folder", ["here", "/nowhere"], ids=["good page", "missing page"])
@pytest.mark.parametrize(
    "command",
    [
        pytest.param(["sh", "-c", "echo a | cat; exit 3"], id="shell"),
        pytest.param(
            ["python3", "-S", "-c", "import ctypes, subprocess; ctypes.CDLL(None).getpid()"], id="python"
        ),
        pytest.param(["ls", "/"], id="ls"),
    ],
)
def test_programs_without_cuda_do_not_notice(node: Node, command: list[str], folder: str) -> None:
    outcomes = []
    for shim in (False, True):
        environment = node.environment(shim=shim)
        if shim and folder != "here":
            environment["OFFBUS_PAGE_DIR"] = folder
        done = subprocess.run(command, env=environment, capture_output=True)
        outcomes.append((done.returncode, done.stdout, done.stderr))
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("armed", [False, True], ids=["disarmed", "armed"])
def test_without_the_real_libraries_names_are_not_found(node: Node, programs: Path, armed: bool) -> None:
    """dlsym answers NULL with dlerror's text, a direct call 303 and NVML's 12; other lookups go on as ever."""
    if armed:
        node.arm(nvml_err=15)
    done = subprocess.run(
        [programs / "absent"],
        env=node.environment(LD_LIBRARY_PATH=""),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == ["null error", "303 12", "1"]
    assert done.stderr == ""


def test_lookups_without_the_shim_are_the_measure(node: Node, programs: Path) -> None:
    environment = node.environment(shim=False, LD_LIBRARY_PATH="")
    done = subprocess.run([programs / "absent"], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["null error", "-1 -1", "1"]
