"""The kernel log of a `local` node: a file with one record per line, as read from `/dev/kmsg`.

Job: append `<prefix>,<seq>,<usec>,-;<text>\\n` with one write under flock, then open the *path* again and find the
record: a file that was replaced or truncated, or that lost the line, fails with `NotShown`. That needs no waiting,
because a write to a regular file is visible when write(2) returns; only the lock can be contended, and waiting for it
is bounded.
"""

import fcntl
import os
import stat
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from offbus_agent.kernel_log.line import checked
from offbus_agent.kernel_log.log import (
    FACILITY_USER,
    KernelLogError,
    KernelRecord,
    NotShown,
    TextLog,
    check_access,
    parse_record,
)

__all__ = ["RecordFile"]

_LOCK_BOUND_S = 2.0
_TAIL = 4096
"""Bytes from the end that always hold the last record: a record is under 900 bytes."""


@dataclass(slots=True)
class RecordFile(TextLog):
    """`TextLog` over a record file."""

    path: Path

    def check(self) -> None:
        """Raises KernelLogError when it cannot be read or written."""
        check_access(self.path)

    def write(self, line: str, level: int = 4) -> KernelRecord:
        """See `TextLog.write`."""
        checked(line)
        writer = self._open(os.O_RDWR | os.O_APPEND)
        try:
            self._lock(writer)
            start = os.fstat(writer).st_size
            seq, at_ns = self._append(writer, start, line, level)
        finally:
            os.close(writer)
        self._read_back(start, seq, line)
        return KernelRecord(seq, at_ns, line)

    def _open(self, flags: int) -> int:
        try:
            fd = os.open(self.path, flags | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as err:
            raise KernelLogError(f"cannot open {self.path}: {err.strerror}") from err
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise KernelLogError(f"{self.path} is no longer a regular file")
        return fd

    def _lock(self, fd: int) -> None:
        """Take the writers' lock; the kernel frees it with the last close of `fd` and of its duplicates."""
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not _lock_patiently(fd):
                raise KernelLogError(
                    f"timed out after {_LOCK_BOUND_S:g}s waiting for another writer's lock of {self.path}",
                    "find the writer with `lslocks`",
                ) from None

    def _append(self, fd: int, start: int, line: str, level: int) -> tuple[int, int]:
        seq = self._next_seq(fd, start)
        at_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        data = f"{FACILITY_USER * 8 + level},{seq},{at_ns // 1000},-;{line}\n".encode("ascii")
        try:
            written = os.write(fd, data)
        except OSError as err:
            raise KernelLogError(f"cannot write to {self.path}: {err.strerror}") from err
        if written != len(data):
            raise KernelLogError(
                f"{self.path} accepted only {written} of {len(data)} bytes: is the disk full?"
            )
        return seq, at_ns

    def _next_seq(self, fd: int, size: int) -> int:
        if size == 0:
            return 0
        tail = os.pread(fd, _TAIL, max(0, size - _TAIL)).decode("ascii", errors="replace")
        record = parse_record(tail.rstrip("\n").rpartition("\n")[2]) if tail.endswith("\n") else None
        if record is None:
            raise KernelLogError(
                f"{self.path} does not end with a complete record",
                "its writers must append whole lines; create it again",
            )
        return record[0] + 1

    def _read_back(self, start: int, seq: int, line: str) -> None:
        reader = self._open(os.O_RDONLY)
        try:
            os.lseek(reader, start, os.SEEK_SET)
            with os.fdopen(os.dup(reader), encoding="ascii", errors="replace") as file:
                if any(parse_record(raw.rstrip("\n")) == (seq, line) for raw in file):
                    return
        finally:
            os.close(reader)
        raise NotShown(
            f"the line was written to {self.path} and is not in it",
            "check what truncates or replaces the file",
            text=line,
            lost=True,
        )


def _lock_patiently(fd: int) -> bool:
    """Wait for the lock in a thread, on a duplicate: flock(2) has no timeout, and must not be polled.

    After a timeout, the thread closes its duplicate once it gets the lock, and nothing is ever
    written.
    """
    duplicate = os.dup(fd)
    locked = threading.Event()

    def wait() -> None:
        try:
            fcntl.flock(duplicate, fcntl.LOCK_EX)
            locked.set()
        finally:
            os.close(duplicate)

    threading.Thread(target=wait, name="record-file-lock", daemon=True).start()
    return locked.wait(_LOCK_BOUND_S)
