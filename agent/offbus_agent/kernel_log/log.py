"""One interface over a node's kernel log: `/dev/kmsg`, or the record file of a `local` node.

Job: write one line, given as its fields, and verify it, by reading the record back with its sequence number. A line
that does not show is `NotShown`, never success; a log that cannot be opened or written is `KernelLogError`. Both have
path, reason and hint.
No implementation creates a file, keeps one open between lines, or writes more than one record.
"""

import os
import re
import time
from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from offbus_agent.kernel_log.line import KernelLine

__all__ = [
    "FACILITY_USER",
    "KernelLog",
    "KernelLogError",
    "KernelRecord",
    "NotShown",
    "TextLog",
    "check_access",
    "parse_record",
    "stat_log",
]

FACILITY_USER = 1
"""The facility that the kernel sets on records from user space without another one."""


_RECORD = re.compile(r"(\d{1,20}),(\d{1,20}),(\d{1,20}),([^;]*);(.*)")


class KernelLogError(Exception):
    """Raised when the kernel log cannot be used; `hint` says what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class NotShown(KernelLogError):
    """Raised when a line was written and could not be read back.

    `lost`: it is not in the log for certain, so no detector can have seen it. If not, it was only not found in time.
    """

    def __init__(self, message: str, hint: str = "", *, text: str, lost: bool) -> None:
        super().__init__(message, hint)
        self.text = text
        self.lost = lost


@dataclass(frozen=True, slots=True)
class KernelRecord:
    """A record that was read back."""

    seq: int
    at_ns: int
    """CLOCK_BOOTTIME of the write; /dev/kmsg's own stamp is another clock (it stops in suspend)."""
    text: str


class KernelLog(Protocol):
    """A kernel log that can be written and read back."""

    path: Path

    def record(self, line: KernelLine) -> KernelRecord:
        """Write one line, as it is now, and read it back.

        Bounded by a few seconds; blocking, so call it in a thread. Raises NotShown, KernelLogError,
        UnsafeLine.
        """

    def check(self) -> None:
        """Raises KernelLogError when a write would fail now."""


class TextLog(KernelLog):
    """A kernel log that this process can open, and so write any line to."""

    def record(self, line: KernelLine) -> KernelRecord:
        """See `KernelLog.record`."""
        return self.write(line.text(time.clock_gettime_ns(time.CLOCK_BOOTTIME)), line.level)

    @abstractmethod
    def write(self, line: str, level: int = 4) -> KernelRecord:
        """Write one line (`line.checked`) at a syslog level 0-7 and read it back. Raises as `record`."""


def stat_log(path: Path) -> os.stat_result:
    """`os.stat` that raises KernelLogError."""
    try:
        return path.stat()
    except OSError as err:
        raise KernelLogError(
            f"no kernel log at {path}: {err.strerror}", "mount the host's /dev/kmsg: it is never created here"
        ) from err


def check_access(path: Path) -> None:
    """Raises KernelLogError unless `path` may be read (to verify a line) and written."""
    stat_log(path)
    for access, word in ((os.R_OK, "read"), (os.W_OK, "written")):
        if not os.access(path, access):
            raise KernelLogError(
                f"{path} cannot be {word} by uid {os.getuid()}", "run the agent privileged, as root"
            )


def parse_record(raw: str) -> tuple[int, str] | None:
    """(seq, text) of `<prefix>,<seq>,<usec>,<flags>;<text>`, first line only; None when it is not a record."""
    found = _RECORD.match(raw)
    return (int(found[2]), found[5]) if found else None
