"""`offbus recognise`, on logs that are piped into it."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from offbus_steps.commands.recognise_log import LONGEST
from offbus_steps.commands.written_lines import WrittenLines
from tests.kits.cli.drill_journal import small
from tests.kits.cli.drill_writer import Drill

FAULT = "3f9a2c41-inject-0123456789"
LINE = f"offbus={FAULT} ;NVRM: Xid (PCI:0000:3b:00): 79, GPU has fallen off the bus."
DRIVERS = "4,7,2,-;NVRM: Xid (PCI:0000:3b:00): 13, Graphics Exception"


def recognise(log: bytes, *words: str | Path) -> "subprocess.CompletedProcess[bytes]":
    command = [sys.executable, "-m", "offbus", "recognise", *map(str, words)]
    return subprocess.run(command, input=log, capture_output=True, timeout=100)


def objects(log: bytes, *words: str | Path) -> tuple[int, Sequence[dict[str, Any]]]:
    done = recognise(log, "--format", "json", *words)
    assert done.stderr == b""
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def a_run(base: Path, *, seq: int, finished: bool = True) -> Drill:
    """A run whose journal has the line under that number."""
    drill = Drill(base)
    drill.begin()
    said = drill.recorder("inject")
    said.fault_declared(fault=FAULT, subject="node-1", planes={"kernel": "the line was not read back"})
    said.fault_proven(
        fault=FAULT, plane="kernel", evidence={"seq": seq, "line": LINE, "node": "node-1"}, brief=""
    )
    if not finished:
        drill.folder.unfinished.touch()
    drill.journal.close()
    return drill


def test_a_log_with_a_drill_and_a_real_fault(tmp_path: Path) -> None:
    done = recognise(f"12,342,1,-;{LINE}\n{DRIVERS}\n".encode(), "--runs", tmp_path)
    assert (done.returncode, done.stderr) == (1, b"")
    first, second, summary = done.stdout.decode().splitlines()
    assert first.startswith("drill     xid 79 at 0000:3b:00  run 3f9a2c41, step inject")
    assert second.startswith("driver    xid 13 at 0000:3b:00  it has the kernel's facility")
    assert summary == "read 2 lines; about faults: 1 drill, 1 driver (runs 3f9a2c41: 1)"


def test_only_drills_or_nothing_is_status_0(tmp_path: Path) -> None:
    for log in (b"", b"12,1,1,-;usb 1-1: new device\n", f"12,342,1,-;{LINE}".encode()):
        assert recognise(log, "--runs", tmp_path).returncode == 0


def test_what_programs_get(tmp_path: Path) -> None:
    code, [drill, driver, last] = objects(f"12,342,1,-;{LINE}\n{DRIVERS}\n".encode(), "--runs", tmp_path)
    assert code == 1
    assert (drill["verdict"], drill["run"], drill["seq"], drill["line"]) == ("drill", "3f9a2c41", 342, 1)
    assert drill["confirmed"] is None
    assert (driver["verdict"], driver["number"], driver["form"]) == ("driver", 13, "kmsg")
    assert last["summary"]["verdicts"] == {"drill": 1, "driver": 1}
    assert last["summary"]["runs"] == {"3f9a2c41": 1}


@pytest.mark.parametrize(
    ("seq", "finished", "confirmed", "code"),
    [(342, True, True, 0), (342, False, True, 0), (341, True, False, 1), (341, False, None, 0)],
    ids=["its own", "of a run that lasts", "forged", "not yet in the journal, maybe"],
)
def test_a_run_that_is_here_is_asked(
    tmp_path: Path, seq: int, finished: bool, confirmed: bool | None, code: int
) -> None:
    a_run(tmp_path, seq=seq, finished=finished)
    status, [found, _] = objects(f"12,342,1,-;{LINE}\n".encode(), "--runs", tmp_path)
    assert (status, found["confirmed"]) == (code, confirmed)


def test_without_a_number_the_text_decides(tmp_path: Path) -> None:
    a_run(tmp_path, seq=342)
    status, [own, forged, _] = objects(f"[  1.0] {LINE}\n[  2.0] {LINE} more\n".encode(), "--runs", tmp_path)
    assert (status, own["confirmed"], forged["confirmed"]) == (1, True, False)


def test_a_damaged_journal_and_a_run_that_is_not_here_tell_nothing(tmp_path: Path) -> None:
    drill, _ = small(tmp_path)
    drill.folder.journal.write_bytes(b"\xff\n" * 3)
    asked = WrittenLines(tmp_path)
    assert asked.has("00000000", FAULT, 1, LINE) is None
    drill.folder.journal.chmod(0o000)
    assert asked.has("3f9a2c41", FAULT, 1, LINE) in (None, False)


def test_a_line_is_told_before_the_log_ends() -> None:
    command = [sys.executable, "-m", "offbus", "recognise"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(f"12,342,1,-;{LINE}\n".encode())
        child.stdin.flush()
        assert child.stdout.readline().startswith(b"drill ")
        child.stdin.close()
        assert child.wait(100) == 0


def test_hostile_bytes_are_printed_so_that_nothing_acts_on_them(tmp_path: Path) -> None:
    hostile = f"12,1,1,-;{LINE}".encode() + b"\x1b[2J\x07\xff\xc2\x9b31m \xe2\x80\xae ##[error]x\n"
    hostile += b"::error::NVRM: Xid (PCI:0000:3b:00): 1, y\n"
    for form in ("text", "json"):
        out = recognise(hostile, "--format", form, "--runs", tmp_path).stdout
        for bad in (b"\x1b", b"\x07", b"\xe2\x80\xae", b"##[", b"\n::error"):
            assert bad not in out


def test_an_endless_line_takes_bounded_memory(tmp_path: Path) -> None:
    """256 MiB without a line end, in an address space that would not hold them; what comes after it is read."""
    program = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (400 << 20, 400 << 20));"
        "from offbus.entrypoint import main; sys.argv = ['offbus', 'recognise', '--format', 'json']; main()"
    )
    child = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdin is not None
    for _ in range(256):
        child.stdin.write(b"a" * (1 << 20))
    child.stdin.write(f"\n12,342,1,-;{LINE}\n".encode())
    out, _ = child.communicate(timeout=100)
    found, last = map(json.loads, out.splitlines())
    assert (child.returncode, found["line"], last["summary"]["cut"]) == (0, 2, 1)


def test_a_line_of_just_the_bound_is_whole() -> None:
    exact = f"12,342,1,-;{LINE}".encode().ljust(LONGEST - 1, b"x") + b"\n"
    _, found = objects(exact)
    assert (len(found), found[-1]["summary"]["cut"]) == (2, 0)


def test_a_terminal_is_no_log() -> None:
    ours, theirs = os.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "offbus", "recognise"],
        stdin=theirs,
        capture_output=True,
        text=True,
        timeout=100,
    )
    os.close(ours)
    os.close(theirs)
    assert done.returncode == 2
    assert "pipe one: journalctl -k -o json | offbus recognise" in done.stderr
