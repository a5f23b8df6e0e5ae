"""Linux inotify, by ctypes (the standard library has none): one descriptor, readable after something has happened in
one of the folders that it watches. Whoever waits looks for itself what has changed, as it must after an overflow, too.
"""

import ctypes
import os
import select
from pathlib import Path

__all__ = ["ATTRIB", "CREATE", "DELETE", "MODIFY", "MOVED_FROM", "MOVED_TO", "Inotify"]

MODIFY, ATTRIB, MOVED_FROM, MOVED_TO, CREATE, DELETE = 0x2, 0x4, 0x40, 0x80, 0x100, 0x200
"""Events in a folder (linux/inotify.h)."""
_ONLY_FOLDERS = 0x1000000
_BUFFER = 64 * 1024


class Inotify:
    """One descriptor, open from construction until `close`. Raises OSError when the kernel has none to give."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.fd: int = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self.fd < 0:
            raise _error()

    def watch(self, folder: Path, events: int) -> None:
        """Watch a folder too. Raises OSError (inotify(7): no such folder, too many watches)."""
        if self._libc.inotify_add_watch(self.fd, os.fsencode(folder), events | _ONLY_FOLDERS) < 0:
            raise _error(str(folder))

    def read(self) -> bool:
        """Read events that are there, not always all of them; whether there were any."""
        try:
            return bool(os.read(self.fd, _BUFFER))
        except BlockingIOError:
            return False

    def wait(self, seconds: float) -> bool:
        """Wait for events, so long at most, and read them; whether there were any. Blocking."""
        found, _, _ = select.select([self.fd], [], [], max(0.0, seconds))
        return bool(found) and self.read()

    def close(self) -> None:
        """Free the descriptor."""
        os.close(self.fd)


def _error(*where: str) -> OSError:
    code = ctypes.get_errno()
    return OSError(code, os.strerror(code), *where)
