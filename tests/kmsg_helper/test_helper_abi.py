"""The packets in C are those in Python, and the program is one that any node can run."""

import ctypes
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from offbus_agent import kmsg_helper
from offbus_agent.kmsg_helper import Kind, Status
from offbus_agent.page.native_library import HELPER, library
from tests.kits.shim.shim_build import SHIM, compile_c

STRUCTURES = {
    "offbus_ask_xid": kmsg_helper.AskXid,
    "offbus_ask_reset": kmsg_helper.AskReset,
    "offbus_ask_process": kmsg_helper.AskProcess,
    "offbus_ask_metadata": kmsg_helper.AskMetadata,
    "offbus_ask_pod": kmsg_helper.AskPod,
    "offbus_answer": kmsg_helper.Answer,
}
NAMES = {Kind: "OFFBUS_ASK_", Status: "OFFBUS_"}


def test_every_field_and_number_is_where_python_has_it(tmp_path: Path) -> None:
    rows = [
        f'printf("{name}.{field} %zu\\n", offsetof(struct {name}, {field}));'
        for name, structure in STRUCTURES.items()
        for field, *_ in structure._fields_
    ]
    rows += [f'printf("{name} %zu\\n", sizeof(struct {name}));' for name in STRUCTURES]
    names = [(prefix + one.name, one.value) for kind, prefix in NAMES.items() for one in kind]
    names += [("OFFBUS_KMSG_MAGIC", kmsg_helper.MAGIC), ("OFFBUS_KMSG_VERSION", kmsg_helper.VERSION)]
    rows += [f'printf("{name} %zu\\n", (size_t){name});' for name, _ in names]
    source = tmp_path / "abi.c"
    body = "\n".join(rows)
    source.write_text(
        f'#include <stdio.h>\n#include "offbus_kmsg.h"\nint main(void) {{ {body} return 0; }}\n'
    )
    program = compile_c(tmp_path / "abi", f"-I{SHIM / 'include'}", source)
    told = subprocess.run([program], capture_output=True, text=True, check=True).stdout.split("\n")
    wanted = [
        f"{name}.{field} {getattr(structure, field).offset}"
        for name, structure in STRUCTURES.items()
        for field, *_ in structure._fields_
    ]
    wanted += [f"{name} {ctypes.sizeof(structure)}" for name, structure in STRUCTURES.items()]
    wanted += [f"{name} {value}" for name, value in names]
    assert told[:-1] == wanted


def test_every_kind_and_status_of_the_header_is_known_to_python() -> None:
    text = (SHIM / "include/offbus_kmsg.h").read_text()
    for kind, enumeration in ((Kind, "offbus_kmsg_kind"), (Status, "offbus_kmsg_status")):
        [body] = re.findall(rf"enum {enumeration} {{(.*?)}};", text, re.DOTALL)
        assert len(re.findall(r"\bOFFBUS_\w+ =", body)) == len(kind)


def readelf(*arguments: str) -> str:
    """What readelf says of the program."""
    command = ["readelf", "-W", *arguments, library(HELPER)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_the_program_needs_no_library_no_loader_and_no_relocation() -> None:
    assert "NEEDED" not in readelf("-d")
    assert "PIE" in readelf("-d")
    assert "INTERP" not in readelf("-l")
    assert "no relocations" in readelf("-r")
    [stack] = [line for line in readelf("-l").splitlines() if "GNU_STACK" in line]
    assert "RWE" not in stack


CONFINED = """
#include "helper.h"
static const long refused[] = {SYS_socket, SYS_connect, SYS_execve, SYS_mount, SYS_mmap, SYS_ptrace, SYS_mkdirat,
                               SYS_mknodat, SYS_setuid, SYS_prctl, SYS_unshare, SYS_kill, SYS_finit_module};
int main(void) {
  int status = confine() ? 100 : 0;
  for (unsigned i = 0; i < sizeof refused / sizeof *refused && !status; i++)
    if (raw_call(refused[i], 0, 0, 0, 0, 0, 0) != -1 /* EPERM */) status = 1 + (int)i;
  if (!status && raw_open("/dev/null", O_RDONLY) < 0) status = 101;
  for (;;) raw_call(SYS_exit_group, status, 0, 0, 0, 0, 0);
}
"""


@pytest.mark.guarantee("G33")
def test_no_system_call_is_left_but_those_of_answers(tmp_path: Path) -> None:
    source = tmp_path / "confined.c"
    source.write_text(CONFINED)
    folders = [f"-I{SHIM / one}" for one in ("include", "preload", "kmsg_helper")]
    program = compile_c(tmp_path / "confined", *folders, source, SHIM / "kmsg_helper/confine.c")
    assert subprocess.run([program]).returncode == 0


@pytest.mark.parametrize("compiler", ["clang", "musl-gcc", "aarch64-linux-gnu-gcc"])
def test_other_compilers_build_it_without_a_warning_and_a_relocation(tmp_path: Path, compiler: str) -> None:
    if not shutil.which(compiler):
        pytest.skip(f"{compiler} is wanted: apt install clang musl-tools gcc-aarch64-linux-gnu")
    program = tmp_path / HELPER
    command = ["make", "-s", "-C", SHIM, f"CC={compiler}", f"BUILD={tmp_path}", program]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    shown = subprocess.run(["readelf", "-rdlW", program], capture_output=True, text=True, check=True).stdout
    assert "no relocations" in shown
    assert not re.search("NEEDED|INTERP", shown)
