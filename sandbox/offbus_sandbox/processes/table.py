"""The kernel's process table, as far as a sandbox needs it: which processes run, and which are ours.

A pid alone identifies nothing: it is reused. `ProcessId` adds the start time, and a signal goes through a pidfd that
was opened before the start time was compared, so it cannot hit another process.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["CHILD_MARK", "MARK", "Process", "ProcessId", "processes", "signal_process"]

MARK = "OFFBUS_SANDBOX"
"""Environment variable that every process of a sandbox carries, with `Layout.id`."""
CHILD_MARK = "OFFBUS_CHILD"
"""Environment variable that a child and all its descendants carry, each child with a value of its own."""
_LONGEST = 2 << 20
"""As an environment and a command line are with a stack of the usual limit (execve(2)). A process may have any memory
shown as either (prctl(2), PR_SET_MM_MAP)."""


@dataclass(frozen=True, slots=True)
class ProcessId:
    """One process, never a later one with its pid. `start`: clock ticks since boot (`/proc/PID/stat`, field 22)."""

    pid: int
    start: int

    @classmethod
    def of(cls, pid: int) -> "ProcessId | None":
        """The process that has `pid` now; None when there is none."""
        process = Process.read(pid)
        return process.id if process else None

    @property
    def alive(self) -> bool:
        """Whether it runs; a zombie does not."""
        process = Process.read(self.pid)
        return process is not None and process.id == self and not process.ended


@dataclass(frozen=True, slots=True)
class Process:
    """A process as in `/proc/PID/stat`."""

    id: ProcessId
    session: int
    ended: bool
    """A zombie, or exiting."""

    @classmethod
    def read(cls, pid: int) -> "Process | None":
        """The process of that pid; None when there is none (any more)."""
        try:
            text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            return None
        fields = text[text.rindex(")") + 2 :].split()  # the name before may hold anything, spaces and ")" too
        return cls(ProcessId(pid, int(fields[19])), int(fields[3]), fields[0] in "ZX")

    def environment(self) -> dict[str, str]:
        """Its environment when it was started; empty when we may not read it, or it has ended."""
        raw = _beginning(self.id.pid, "environ")
        pairs = (item.partition("=") for item in os.fsdecode(raw).split("\0") if "=" in item)
        return {name: value for name, _, value in pairs}

    def command(self) -> str:
        """Its command line, for messages."""
        return os.fsdecode(_beginning(self.id.pid, "cmdline")).replace("\0", " ").strip()


def _beginning(pid: int, file: str) -> bytes:
    """Up to _LONGEST bytes; none when we may not read it, or it has ended."""
    content = b""
    try:
        with Path(f"/proc/{pid}/{file}").open("rb", buffering=0) as opened:
            while len(content) < _LONGEST and (piece := opened.read(_LONGEST - len(content))):
                content += piece
    except OSError:
        return b""
    return content


def processes() -> Iterator[Process]:
    """All processes that run now."""
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal():
            process = Process.read(int(entry.name))
            if process and not process.ended:
                yield process


def signal_process(process: ProcessId, number: signal.Signals) -> None:
    """Send a signal; nothing happens when the process has ended."""
    with suppress(ProcessLookupError):
        fd = os.pidfd_open(process.pid)
        try:
            if ProcessId.of(process.pid) == process:
                signal.pidfd_send_signal(fd, number)
        finally:
            os.close(fd)
