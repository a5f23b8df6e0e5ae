"""Wakes the agent when a process reports its first faulted call, and when a pod's folder of events appears.

Job: inotify watches on the folder of all pods' events and on each pod's own. The shim rings by pwrite(2) of a row.
Without inotify, `DoorbellError` is raised; the keeper then polls.
"""

import ctypes
import errno
import os
from collections.abc import Iterable
from pathlib import Path

__all__ = ["Doorbell", "DoorbellError"]

_IN_MODIFY, _IN_MOVED_TO, _IN_CREATE, _IN_ONLYDIR = 0x2, 0x80, 0x100, 0x1000000
_BUFFER = 64 * 1024


class DoorbellError(Exception):
    """Raised when the kernel refuses an inotify instance or watch."""


class Doorbell:
    """One inotify descriptor; readable after a ring."""

    def __init__(self, folder: Path) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.fd: int = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self.fd < 0:
            raise DoorbellError(f"no inotify instance: {os.strerror(ctypes.get_errno())}")
        if not self._watch(folder, _IN_CREATE | _IN_MOVED_TO):
            why = os.strerror(ctypes.get_errno())
            self.close()
            raise DoorbellError(f"no inotify watch on {folder}: {why}")

    def watch(self, pods: Iterable[Path]) -> None:
        """Watch these folders too; one that is watched or gone changes nothing. Raises DoorbellError."""
        for folder in pods:
            if not self._watch(folder, _IN_MODIFY) and ctypes.get_errno() != errno.ENOENT:
                raise DoorbellError(f"no inotify watch on {folder}: {os.strerror(ctypes.get_errno())}")

    def _watch(self, folder: Path, what: int) -> bool:
        watch: int = self._libc.inotify_add_watch(self.fd, os.fsencode(folder), what | _IN_ONLYDIR)
        return watch >= 0

    def silence(self) -> bool:
        """Read all rings so far; whether there were any."""
        try:
            return bool(os.read(self.fd, _BUFFER))
        except BlockingIOError:
            return False

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self.fd)
