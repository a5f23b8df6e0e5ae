"""Whatever is wrong, programs run as without the shim."""

import ctypes
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from offbus_agent.page.abi import (
    ABI_MAJOR,
    ABI_MINOR,
    CTL_MAGIC,
    CallClass,
    Ctl,
    FaultMode,
    SlotFlag,
    SlotLayout,
)
from tests.kits.shim.shim_node import GPUS, Node, now_ns

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
        problem, fault = sorted(program.end().splitlines(), key=lambda line: "fault-1" in line)
    assert problem.startswith(f"offbus: the next fault is not recorded: {node.folder / 'events'} ")
    assert "fault-1" in fault


def test_a_zeroed_slot_table_with_the_word_set_is_nothing_in_force(node: Node, programs: Path) -> None:
    """An armed word alone faults nothing: it only sends calls the slow way."""
    write(boot_id_hash=0, heartbeat_ns=now_ns(), heartbeat_ttl_ns=10**15)(node.folder / "ctl")
    with node.start(programs / "dlsym") as program:
        assert program.asks("init", "use 0", "work") == ["0", "0", "0"]


def change(path: Path, at: int, content: bytes) -> None:
    """Write into the middle of a file."""
    with path.open("r+b") as file:
        file.seek(at)
        file.write(content)


def slot_at(index: int, field: str) -> int:
    """Where a field of a slot lies in the file."""
    size = ctypes.sizeof(SlotLayout)
    return int(Ctl.slots.offset) + index * size + int(getattr(SlotLayout, field).offset)


def test_of_a_newer_page_what_is_known_counts(node: Node, programs: Path) -> None:
    """A higher minor version: modes that are not known are left out, flags, classes and fields are passed over."""
    node.arm(fault_id="known", gpu=GPUS[0])
    node.arm(fault_id="newer", gpu=GPUS[1])
    ctl = node.folder / "ctl"
    change(ctl, Ctl.abi_minor.offset, (ABI_MINOR + 1).to_bytes(2, "little"))
    change(ctl, slot_at(1, "mode"), (len(FaultMode) + 3).to_bytes(4, "little"))
    change(ctl, slot_at(0, "flags"), (0xFF00 | SlotFlag.ENABLED | SlotFlag.NEW_PROCS).to_bytes(2, "little"))
    change(ctl, slot_at(0, "reserved"), b"\xff" * 40)
    change(ctl, slot_at(0, "class_mask"), b"\xff" * 4)
    with node.start(programs / "dlsym") as program:
        assert program.asks("init", "use 0", "sync", "use 1", "work") == ["0", "719", "201", "0", "0"]


def test_an_older_page_is_read_as_it_was_meant(node: Node, programs: Path) -> None:
    """Version 1.0 had zeroes where the numbers for NVML are now."""
    node.arm(gpu=GPUS[0], classes=CallClass.SYNC, xid=79, ecc_uncorrected=1)
    change(node.folder / "ctl", Ctl.abi_minor.offset, bytes(2))
    first = slot_at(0, "xid")
    change(node.folder / "ctl", first, bytes(slot_at(1, "uuid") - first))
    with node.start(programs / "dlsym") as program:
        assert program.asks("init", "use 0", "sync", "alloc") == ["0", "0", "719", "0"]


def test_a_fault_id_without_an_end_is_cut(node: Node, programs: Path) -> None:
    node.arm(classes=CallClass.SYNC)
    change(node.folder / "ctl", slot_at(0, "fault_id"), b"\x1bid".ljust(40, b"x"))
    with node.start(programs / "dlsym") as program:
        assert program.asks("init", "use 0", "sync") == ["0", "0", "719"]
        (line,) = program.end().splitlines()
    assert line.startswith(f"offbus: drill ?id{'x' * 36}: cuCtxSynchronize answers 719")


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
