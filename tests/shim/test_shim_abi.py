"""C and Python agree on every offset, size and constant of the page."""

import ctypes
import subprocess

import pytest

from offbus_agent.page import abi
from offbus_agent.page.abi import (
    CallClass,
    Ctl,
    Events,
    EventsHeader,
    FaultMode,
    Record,
    Row,
    SlotFlag,
    SlotLayout,
)
from tests.kits.shim.shim_build import PROGRAMS, SHIM, compile_c


@pytest.fixture(scope="module")
def seen_by_c(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """What a C program that includes the header prints."""
    program = compile_c(
        tmp_path_factory.mktemp("abi") / "offsets", "-I", SHIM / "include", PROGRAMS / "offsets.c"
    )
    printed = subprocess.run([program], capture_output=True, text=True, check=True).stdout
    return {name: int(value) for name, value in (line.rsplit(" ", 1) for line in printed.splitlines())}


def seen_by_python() -> dict[str, int]:
    """The same from ctypes."""
    seen: dict[str, int] = {}
    for name, layout in (("slot", SlotLayout), ("ctl", Ctl), ("record", Record), ("row", Row)):
        seen |= {f"{name}.{field[0]}": getattr(layout, field[0]).offset for field in layout._fields_}
        seen[name] = ctypes.sizeof(layout)
    seen |= {f"events.{field[0]}": getattr(EventsHeader, field[0]).offset for field in EventsHeader._fields_}
    seen |= {"events.rows": Events.rows.offset, "events": ctypes.sizeof(Events)}
    constants = ("ABI_MAJOR", "ABI_MINOR", "CTL_MAGIC", "EVENTS_MAGIC", "SLOTS", "ROWS", "FAULT_ID_SIZE")
    for name in (*constants, "FUNCTION_SIZE", "PPM_ALWAYS", "RECORD_COMPLETE"):
        seen[name] = getattr(abi, name)
    seen |= {flag.name: int(flag) for flag in SlotFlag if flag.name}
    seen |= {f"MODE_{mode.name}": int(mode) for mode in FaultMode}
    return seen | {f"CLASS_{kind.name}": int(kind) for kind in CallClass}


def test_the_layout_is_the_same_in_c_and_python(seen_by_c: dict[str, int]) -> None:
    assert seen_by_python() == seen_by_c


def test_the_sizes_of_the_files_are_fixed(seen_by_c: dict[str, int]) -> None:
    """Other versions of the shim map them with these sizes: changing one is a new major version."""
    assert (seen_by_c["ctl"], seen_by_c["events"], seen_by_c["ABI_MAJOR"]) == (4096, 131072, 1)
