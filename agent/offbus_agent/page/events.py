"""The events file: reports of processes under the shim (`events`, shim/include/offbus_page.h).

Job: read it as untrusted: anything in a pod may have written it. It is read with pread, never mapped: a pod could
truncate it, and a mapping of a truncated file kills its reader. Implausible rows are left out, without an exception;
`evidence` verifies the rest.
"""

import ctypes
import os
import re
import stat
import uuid
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from offbus_agent.page.abi import (
    ABI_MAJOR,
    ABI_MINOR,
    EVENTS_MAGIC,
    RECORD_COMPLETE,
    ROWS,
    SLOTS,
    Events,
    EventsHeader,
    Record,
    Row,
)
from offbus_agent.page.files import PageError, open_or_create

__all__ = ["EventsPage", "FaultedCall", "ProcessRow"]

_SIZE = ctypes.sizeof(Events)
_PID_MAX = 2**22
"""PID_MAX_LIMIT of 64-bit Linux (include/linux/threads.h)."""
_COUNT_MAX = 2**53
"""More calls than a process can make; also the largest integer that JSON readers represent exactly."""
_TIME_MAX = 2**63
_CODE_MAX = 9999
_FUNCTION = re.compile(rb"(?:cu|nvml)[A-Z][A-Za-z0-9_]{0,44}")


@dataclass(frozen=True, slots=True)
class FaultedCall:
    """The first faulted call of a process in a generation, as reported by itself."""

    function: str
    """Cut to 47 characters."""
    code: int
    """The result that the caller got; 0 when the call hung or was delayed."""
    pid: int
    """In the process's own pid namespace, like `tid`."""
    tid: int
    at_ns: int
    """CLOCK_BOOTTIME."""
    slot: int
    gpu: str
    """"GPU-<uuid>", "" when the process did not know."""


@dataclass(frozen=True, slots=True)
class ProcessRow:
    """One process's calls in one generation, as reported by itself."""

    pid: int
    pid_namespace: int
    """Inode of /proc/PID/ns/pid."""
    start_ns: int
    generation: int
    intercepted: int
    """Calls on the fault's GPU while armed, except meta calls."""
    faulted: int
    cuda: FaultedCall | None
    nvml: FaultedCall | None


class EventsPage:
    """The events file of one node."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self._fd = fd

    @classmethod
    def create(cls, path: Path) -> Self:
        """Open the file, or create it, world-writable.

        A file of the right size, or with the right magic, is ours and is repaired: a pod may have damaged it. Any other
        raises PageError.
        """
        fd, made = open_or_create(path, bytes(_empty()), 0o666, wait=False)
        if not made:
            try:
                _repair(path, fd)
            except BaseException:
                os.close(fd)
                raise
        return cls(path, fd)

    def read(self) -> list[ProcessRow]:
        """The plausible rows; never raises for the file's content."""
        data = os.pread(self._fd, _SIZE, 0)
        at = ctypes.sizeof(EventsHeader)
        chunks = (data[i : i + ctypes.sizeof(Row)] for i in range(at, _SIZE, ctypes.sizeof(Row)))
        return [row for row in map(_row, _taken(chunks)) if row is not None]

    def forget(self, generations: Collection[int]) -> None:
        """Free the rows of generations whose evidence is no longer needed."""
        data = os.pread(self._fd, _SIZE, 0)
        size, at = ctypes.sizeof(Row), ctypes.sizeof(EventsHeader)
        for start in range(at, len(data) - size + 1, size):
            if Row.from_buffer_copy(data, start).generation in generations:
                os.pwrite(self._fd, bytes(size), start)

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


def _empty() -> Events:
    header = EventsHeader(
        magic=EVENTS_MAGIC,
        abi_major=ABI_MAJOR,
        abi_minor=ABI_MINOR,
        size=_SIZE,
        nrows=ROWS,
        row_size=ctypes.sizeof(Row),
    )
    return Events(header=header)


def _repair(path: Path, fd: int) -> None:
    """Restore header, size and permissions. Growing a file back harms no mapping of it."""
    size = os.fstat(fd).st_size
    head = os.pread(fd, ctypes.sizeof(EventsHeader), 0).ljust(ctypes.sizeof(EventsHeader), b"\0")
    if size != _SIZE and EventsHeader.from_buffer_copy(head).magic != EVENTS_MAGIC:
        raise PageError(f"{path}: {size} bytes, expected {_SIZE}: not an events file; move it away")
    good = bytes(_empty().header)
    if size != _SIZE:
        os.ftruncate(fd, _SIZE)
    if head[4:] != good[4:]:
        os.pwrite(fd, good, 0)
    if stat.S_IMODE(os.fstat(fd).st_mode) != 0o666:  # one that another user's agent made can be used as it is
        os.fchmod(fd, 0o666)


def _taken(chunks: Iterable[bytes]) -> Iterator[Row]:
    for chunk in chunks:
        if len(chunk) == ctypes.sizeof(Row) and any(chunk[:8]):
            yield Row.from_buffer_copy(chunk)


def _row(row: Row) -> ProcessRow | None:
    plausible = (
        0 < row.pid <= _PID_MAX
        and row.generation > 0
        and row.start_ns < _TIME_MAX
        and row.intercepted < _COUNT_MAX
        and row.faulted < _COUNT_MAX
    )
    if not plausible:
        return None
    return ProcessRow(
        pid=row.pid,
        pid_namespace=row.pid_namespace,
        start_ns=row.start_ns,
        generation=row.generation,
        intercepted=row.intercepted,
        faulted=row.faulted,
        cuda=_call(row.cuda, row.pid, b"cu"),
        nvml=_call(row.nvml, row.pid, b"nvml"),
    )


def _call(record: Record, pid: int, library: bytes) -> FaultedCall | None:
    function, terminated, _ = bytes(record.function).partition(b"\0")
    plausible = (
        record.state == RECORD_COMPLETE
        and bool(terminated)
        and function.startswith(library)
        and _FUNCTION.fullmatch(function) is not None
        and record.pid == pid
        and 0 < record.tid <= _PID_MAX
        and 0 <= record.code <= _CODE_MAX
        and 0 < record.at_ns < _TIME_MAX
        and record.slot < SLOTS
    )
    if not plausible:
        return None
    raw = bytes(record.gpu_uuid)
    return FaultedCall(
        function=function.decode("ascii"),
        code=record.code,
        pid=record.pid,
        tid=record.tid,
        at_ns=record.at_ns,
        slot=record.slot,
        gpu=f"GPU-{uuid.UUID(bytes=raw)}" if any(raw) else "",
    )
