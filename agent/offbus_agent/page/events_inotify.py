"""Wakes the agent when a process reports its first faulted call.

Job: an inotify watch on the events file. The shim rings by pwrite(2) after it filled a record, because stores to shared
memory wake nobody. Without inotify, `DoorbellError` is raised; the keeper then polls.
"""

import ctypes
import os
from pathlib import Path

__all__ = ["Doorbell", "DoorbellError"]

_IN_MODIFY = 0x2
_BUFFER = 64 * 1024


class DoorbellError(Exception):
    """Raised when the kernel refuses an inotify instance or watch."""


class Doorbell:
    """One inotify descriptor; readable after a ring."""

    def __init__(self, path: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self.fd: int = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self.fd < 0:
            raise DoorbellError(f"no inotify instance: {os.strerror(ctypes.get_errno())}")
        if libc.inotify_add_watch(self.fd, os.fsencode(path), _IN_MODIFY) < 0:
            why = os.strerror(ctypes.get_errno())
            self.close()
            raise DoorbellError(f"no inotify watch on {path}: {why}")

    def silence(self) -> bool:
        """Read all rings so far; whether there were any."""
        try:
            return bool(os.read(self.fd, _BUFFER))
        except BlockingIOError:
            return False

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self.fd)
