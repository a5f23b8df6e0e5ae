"""The kernel log `/dev/kmsg`.

Job: one open-write-close per line (the kernel drops more than 10 records per 5 s *per open file*), then read from the
position before the write until the record appears. Waiting is poll(2) on the device. A device that returns end-of-file,
or anything except records, is not a kernel log, and the error says so.
"""

import os
import select
import time
from dataclasses import dataclass
from pathlib import Path

from offbus_agent.kernel_log.line import checked
from offbus_agent.kernel_log.log import (
    KernelLogError,
    KernelRecord,
    NotShown,
    TextLog,
    check_access,
    parse_record,
)

__all__ = ["KmsgDevice"]

_BOUND_S = 3.0
_RECORD_SIZE = 8192
"""The kernel's largest record (CONSOLE_EXT_LOG_MAX)."""


@dataclass(slots=True)
class KmsgDevice(TextLog):
    """`TextLog` over a character device."""

    path: Path

    def check(self) -> None:
        """Raises KernelLogError when it cannot be read or written."""
        check_access(self.path)

    def write(self, line: str, level: int = 4) -> KernelRecord:
        """See `TextLog.write`."""
        data = f"<{level}>{checked(line)}\n".encode("ascii")
        reader = self._open(os.O_RDONLY | os.O_NONBLOCK)
        try:
            try:
                os.lseek(reader, 0, os.SEEK_END)
            except OSError as err:
                why = f"{self.path} is not a kernel log: {err.strerror}"
                raise KernelLogError(why, "set --kmsg to /dev/kmsg") from err
            at_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            self._write_once(data)
            return KernelRecord(self._read_back(reader, line), at_ns, line)
        finally:
            os.close(reader)

    def _open(self, flags: int) -> int:
        try:
            return os.open(self.path, flags | os.O_CLOEXEC)
        except OSError as err:
            raise KernelLogError(
                f"cannot open {self.path}: {err.strerror}", "run the agent privileged"
            ) from err

    def _write_once(self, data: bytes) -> None:
        writer = self._open(os.O_WRONLY)
        try:
            written = os.write(writer, data)
        except OSError as err:
            raise KernelLogError(f"cannot write to {self.path}: {err.strerror}") from err
        finally:
            os.close(writer)
        if written != len(data):
            raise KernelLogError(f"{self.path} accepted only {written} of {len(data)} bytes")

    def _read_back(self, reader: int, line: str) -> int:
        deadline = time.monotonic() + _BOUND_S
        poller = select.poll()
        poller.register(reader, select.POLLIN)
        while (remaining := deadline - time.monotonic()) > 0:
            try:
                raw = os.read(reader, _RECORD_SIZE)
            except BlockingIOError:
                poller.poll(remaining * 1000)
            except BrokenPipeError:
                continue  # records were overwritten before we read them; the next read returns the oldest
            except OSError as err:
                raise KernelLogError(f"cannot read {self.path}: {err.strerror}") from err
            else:
                seq = self._match(raw, line)
                if seq is not None:
                    return seq
        raise NotShown(
            f"timed out after {_BOUND_S:g}s waiting for the line that was written to {self.path}",
            _why(),
            text=line,
            lost=False,
        )

    def _match(self, raw: bytes, line: str) -> int | None:
        record = parse_record(raw.decode("ascii", errors="replace"))
        if record is None:
            raise NotShown(
                f"{self.path} accepted the line and does not return it: it is not a kernel log",
                "set --kmsg to /dev/kmsg",
                text=line,
                lost=True,
            )
        return record[0] if record[1] == line else None


def _why() -> str:
    setting = Path("/proc/sys/kernel/printk_devkmsg")
    try:
        value = setting.read_text(encoding="ascii").strip()
    except OSError as err:
        return f"cannot read kernel.printk_devkmsg ({err.strerror})"
    if value == "off":
        return "kernel.printk_devkmsg is off: the kernel drops lines from user space; set it to ratelimit"
    return f"kernel.printk_devkmsg is {value}; check whether the log is flooded"
