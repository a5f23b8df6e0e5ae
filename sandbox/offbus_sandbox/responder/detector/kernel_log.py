"""Reads a node's kernel log forward from a position: the record file of a local node, or `/dev/kmsg`.

Both have records of the same form; a position is the sequence number of the last record seen. `read` returns what is
there now and never waits. A line that is not a record is skipped (so are continuation lines); records that the kernel
overwrote before they were read are lost, and logged. Must not: write, or interpret a record's text.
"""

import errno
import logging
import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

import anyio

from offbus_agent.detectors.journald import Record, parse_record

__all__ = ["Device", "KernelLog", "RecordFile", "open_kernel_log"]

_RECORD_BYTES = 8192
"""More than the kernel's longest record (printk's limit is below 2048)."""
_log = logging.getLogger(__name__)


class KernelLog(ABC):
    """An open kernel log."""

    @abstractmethod
    def read(self, after: int) -> Iterator[Record]:
        """The records whose sequence number is greater than `after`, oldest first."""

    def last(self) -> int:
        """The sequence number of the newest record; -1 when there is none. Reads everything that is there."""
        return max((record.seq for record in self.read(-1)), default=-1)


def open_kernel_log(path: Path) -> KernelLog:
    """Open a character device as the kernel's own log, anything else as a record file."""
    try:
        is_device = stat.S_ISCHR(path.stat().st_mode)
    except FileNotFoundError:
        is_device = False
    return Device(path) if is_device else RecordFile(path)


class RecordFile(KernelLog):
    """One record per line (docs/architecture.md). The file may appear later; a replaced one is read from its start."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._inode = 0
        self._offset = 0

    def read(self, after: int) -> Iterator[Record]:
        """See KernelLog. An unfinished last line is left for the next call."""
        try:
            with self._path.open("rb") as file:
                now = os.fstat(file.fileno())
                if now.st_ino != self._inode or now.st_size < self._offset:  # replaced, or truncated
                    self._inode, self._offset = now.st_ino, 0
                file.seek(self._offset)
                lines = file.readlines()
        except FileNotFoundError:
            return
        for line in lines:
            if not line.endswith(b"\n"):
                return
            self._offset += len(line)
            record = parse_record(line.decode("utf-8", "replace").rstrip("\n"))
            if record is not None and record.seq > after:
                yield record


class Device(KernelLog):
    """`/dev/kmsg`: one read is one record; the kernel keeps the position of the open descriptor."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)

    def fileno(self) -> int:
        """Of the open device."""
        return self._fd

    async def readable(self) -> None:
        """Return when there are records to read."""
        await anyio.wait_readable(self._fd)

    def read(self, after: int) -> Iterator[Record]:
        """See KernelLog."""
        while (line := self._read_one()) is not None:
            record = parse_record(line.partition("\n")[0])
            if record is not None and record.seq > after:
                yield record

    def _read_one(self) -> str | None:
        while True:
            try:
                return os.read(self._fd, _RECORD_BYTES).decode("utf-8", "replace")
            except BlockingIOError:
                return None
            except OSError as err:
                if err.errno != errno.EPIPE:
                    raise
                _log.warning("%s: records were overwritten before they were read", self._path)
