"""Wakes a reader when something in one folder changes: Linux inotify, by ctypes (the standard library has none).

`Folder.changed()` returns when a file directly in the folder was written, created, renamed or removed since the last
call; it never polls. It does not report which file: the reader checks its own files, as it must after an overflow too.
Raises OSError when the kernel refuses (inotify(7): no such folder, too many watches). Must not: read the files.
"""

import ctypes
import os
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio

__all__ = ["Folder"]

_IN_MODIFY = 0x2
_IN_MOVED_FROM = 0x40
_IN_MOVED_TO = 0x80
_IN_CREATE = 0x100
_IN_DELETE = 0x200
_MASK = _IN_MODIFY | _IN_MOVED_FROM | _IN_MOVED_TO | _IN_CREATE | _IN_DELETE
_BUFFER = 65536


class Folder:
    """A watch on one folder, open from construction until `close`."""

    def __init__(self, path: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd: int = libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1 failed", str(path))
        if libc.inotify_add_watch(self._fd, os.fsencode(path), _MASK) < 0:
            code = ctypes.get_errno()
            os.close(self._fd)
            raise OSError(code, os.strerror(code), str(path))

    async def changed(self) -> None:
        """Return once something has changed since the last call."""
        await anyio.wait_readable(self._fd)
        try:
            while len(os.read(self._fd, _BUFFER)) > 0:
                pass
        except BlockingIOError:
            return  # drained: everything up to now is one wake-up

    def close(self) -> None:
        """Free the descriptor."""
        os.close(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
