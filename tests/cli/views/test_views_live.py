"""The live view on a real pseudo-terminal: it ends cleanly on any size, after a resize, and when the terminal goes."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.kits import REPOSITORY

PLAYER = [sys.executable, "-m", "tests.kits.cli.drill_journal"]
COLOUR = re.compile(rb"\x1b\[[0-9;]*3[0-7][0-9;]*m")
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
WATCHDOG_S = 60


def resize(terminal: int, columns: int, lines: int) -> None:
    """Give a terminal another size."""
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))


@contextmanager
def playing(columns: int, lines: int, **environ: str) -> Iterator[tuple[int, "subprocess.Popen[bytes]"]]:
    """A drill of 31 s, played 30 times as fast, in a terminal; the terminal's other end, and the process."""
    master, slave = pty.openpty()
    resize(slave, columns, lines)
    inherited = {
        key: value for key, value in os.environ.items() if key not in ("CI", "COLUMNS", "LINES", "NO_COLOR")
    }
    command = [*PLAYER, "live", "30", "passing"]
    process = subprocess.Popen(
        command,
        cwd=REPOSITORY,
        stdin=slave,
        stdout=slave,
        stderr=subprocess.PIPE,
        env=inherited | {"TERM": "xterm-256color", "PYTHONUTF8": "1"} | environ,
        start_new_session=True,
    )
    os.close(slave)
    try:
        yield master, process
    finally:
        process.kill()
        process.communicate()


def read_all(master: int, seen: Callable[[bytes], None] = lambda _text: None) -> bytes:
    """What the terminal was sent, to the end."""
    found = b""
    while select.select([master], [], [], WATCHDOG_S)[0]:
        try:
            more = os.read(master, 65536)
        except OSError:  # EIO: the last program closed its end
            break
        if not more:
            break
        found += more
        seen(found)
    return found


def ended(process: "subprocess.Popen[bytes]") -> tuple[int, bytes]:
    """Exit code and stderr."""
    _, errors = process.communicate(timeout=WATCHDOG_S)
    return process.returncode, errors


@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (40, 10), (200, 60), (1, 1)], ids=str)
def test_it_leaves_the_closing_lines_and_a_usable_terminal(columns: int, lines: int) -> None:
    """On every size: the cursor is visible, nothing is on stderr, the report's place stands last."""
    with playing(columns, lines) as (master, process):
        text = read_all(master).decode()
        assert ended(process) == (0, b"")
    assert text.rfind("\x1b[?25h") > text.rfind("\x1b[?25l")
    last = CONTROL.sub("", text).split("\r\n")
    assert last[-2].startswith("report: ")
    assert "PASSED  xid79-nvsentinel  in 31.2 s" in last


def test_it_redraws_from_the_top_after_a_resize() -> None:
    """Lines that the terminal has wrapped cannot be found by moving up."""
    with playing(120, 40) as (master, process):

        def shrink(text: bytes) -> None:
            if b"cordon" in text:
                resize(master, 40, 12)

        text = read_all(master, shrink)
        assert ended(process) == (0, b"")
    assert b"\x1b[2J\x1b[H" in text


@pytest.mark.parametrize(
    ("environ", "coloured"),
    [pytest.param({}, True, id="colours"), pytest.param({"NO_COLOR": "1"}, False, id="NO_COLOR")],
)
def test_no_color_is_heeded(environ: dict[str, str], coloured: bool) -> None:
    """The glyphs and words say the same."""
    with playing(80, 24, **environ) as (master, process):
        text = read_all(master)
        assert ended(process) == (0, b"")
    assert bool(COLOUR.search(text)) == coloured
    assert "✓".encode() in text


def test_a_terminal_that_is_not_utf8_gets_ascii() -> None:
    """Glyphs too."""
    with playing(80, 24, PYTHONUTF8="0", PYTHONIOENCODING="ascii") as (master, process):
        text = read_all(master)
        assert ended(process) == (0, b"")
    assert text.isascii()
    assert "+ cordon    passed" in CONTROL.sub("", text.decode())


def test_a_terminal_that_goes_away_stops_nothing() -> None:
    """The run (here: the player) goes on to its end without it."""
    with playing(80, 24) as (master, process):
        assert os.read(master, 1)
        os.close(master)
        assert ended(process) == (0, b"")
