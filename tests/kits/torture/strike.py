"""One strike: a command under the tracer, and what came of it. Every place of a kill is chosen from outside.

`strike` runs a command to its end; `Stopped` is one that was suspended and waits for SIGCONT.
"""

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import IO

from tests.kits.torture.sandbox import TortureSandbox

__all__ = ["Came", "Strike", "Suspended", "agents_of", "can_shift", "strike", "suspended"]

WATCHDOG_S = 240.0
"""A command that has not ended by then hangs: the drill's and the undo's own limits are far below."""
SHIFT = ("--boottime", "86400", "--monotonic", "7200")


@dataclass(frozen=True)
class Strike:
    """Where and how; see tracer.c. `at` counts records from 1; 0 with `us` 0 strikes nowhere."""

    at: int = 0
    how: str = "after"
    us: int = 0
    """Microseconds after the start, or after record `at` has begun."""
    containing: str = ""
    also: tuple[int, ...] = ()
    shifted: bool = False
    """The wall clock jumps, and the monotonic clocks are hours ahead of the nodes' (where `can_shift`)."""

    def words(self) -> list[str]:
        """The tracer's options."""
        words = ["--how", self.how]
        words += ["--at", str(self.at)] if self.at else []
        words += ["--us", str(self.us)] if self.us else []
        words += ["--containing", self.containing] if self.containing else []
        words += ["--also", ",".join(map(str, self.also))] if self.also else []
        return words


@dataclass(frozen=True)
class Came:
    """What came of a command."""

    struck: bool
    records: int
    """Journal records whose writes had begun."""
    code: int
    """Exit status, or 128 + signal."""
    output: str


def strike(sandbox: TortureSandbox, blow: Strike, *command: str | Path) -> Came:
    """Run `offbus COMMAND…` under the tracer to its end. Raises RuntimeError when it could not be traced."""
    with _started(sandbox, blow, command) as (tracer, output, report):
        tracer.wait(WATCHDOG_S)
        return _came(report.read().splitlines(), output)


@dataclass
class Suspended:
    """A command that was stopped at its place."""

    pid: int
    came: Came | None = None
    """What came of it, once it was resumed and has ended."""


@contextmanager
def suspended(sandbox: TortureSandbox, blow: Strike, *command: str | Path) -> Iterator[Suspended]:
    """Run a command until it is stopped; after the block it is resumed and runs to its end (`came`)."""
    with _started(sandbox, replace(blow, how="stop"), command) as (tracer, output, report):
        lines: list[str] = []
        for line in report:
            lines.append(line.strip())
            if line.startswith(("stopped", "ended")):
                break
        if not lines or not lines[-1].startswith("stopped"):
            raise RuntimeError(f"it was not stopped: {lines} {_came(lines, output).output[-2000:]}")
        held = Suspended(_child_of(tracer.pid))
        try:
            yield held
        finally:
            os.kill(held.pid, signal.SIGCONT)
        tracer.wait(WATCHDOG_S)
        held.came = _came([*lines, *report.read().splitlines()], output)


@contextmanager
def _started(
    sandbox: TortureSandbox, blow: Strike, command: Sequence[str | Path]
) -> Iterator[tuple["subprocess.Popen[bytes]", IO[bytes], IO[str]]]:
    reading, writing = os.pipe()
    offsets = SHIFT if blow.shifted and can_shift(sandbox) else ()
    words = ["--report", str(writing), *blow.words(), *offsets]
    argv = [str(sandbox.tracer), *words, "--", *sandbox.offbus(*command)]
    env = sandbox.env | ({"LD_PRELOAD": str(sandbox.jumping_clock)} if blow.shifted else {})
    with tempfile.TemporaryFile(dir=sandbox.root) as output, os.fdopen(reading) as report:
        tracer = subprocess.Popen(
            argv, env=env, pass_fds=(writing,), stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        os.close(writing)
        try:
            yield tracer, output, report
        finally:
            tracer.kill()  # what it traces ends with it
            tracer.wait()


@cache
def can_shift(sandbox: TortureSandbox) -> bool:
    """Whether this machine lets us make a time namespace; without one only the wall clock can be shifted."""
    argv = [str(sandbox.tracer), "--report", "2", *SHIFT, "--", "true"]
    return subprocess.run(argv, stderr=subprocess.DEVNULL, check=False).returncode == 0


def _came(lines: Sequence[str], output: IO[bytes]) -> Came:
    output.seek(0)
    text = output.read().decode(errors="replace")
    ended = next((line.split() for line in lines if line.startswith("ended")), None)
    if ended is None:
        raise RuntimeError(f"the tracer ended without its word: {lines} {text[-2000:]}")
    struck = any(line.startswith("struck") for line in lines)
    return Came(struck, int(ended[2]), int(ended[1]), text)


def _child_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def agents_of(sandbox: TortureSandbox) -> tuple[int, ...]:
    """The process ids of all node agents of the place."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
        except OSError:
            continue
        if b"offbus_agent" in words and any(str(node).encode() in words for node in sandbox.nodes):
            found.append(int(entry.name))
    return tuple(sorted(found))
