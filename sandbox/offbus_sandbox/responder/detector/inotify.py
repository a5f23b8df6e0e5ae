"""Wakes a reader when something in one folder changes.

`Folder.changed()` returns when a file directly in the folder was written, created, renamed or removed since the last
call; it never polls. It does not report which file: the reader checks its own files. Raises OSError when the kernel
refuses (inotify(7): no such folder, too many watches). Must not: read the files.
"""

from pathlib import Path
from types import TracebackType
from typing import Self

import anyio

from offbus_agent.inotify import CREATE, DELETE, MODIFY, MOVED_FROM, MOVED_TO, Inotify

__all__ = ["Folder"]


class Folder:
    """A watch on one folder, open from construction until `close`."""

    def __init__(self, path: Path) -> None:
        self._inotify = Inotify()
        try:
            self._inotify.watch(path, MODIFY | MOVED_FROM | MOVED_TO | CREATE | DELETE)
        except OSError:
            self.close()
            raise

    async def changed(self) -> None:
        """Return once something has changed since the last call."""
        await anyio.wait_readable(self._inotify.fd)
        while self._inotify.read():
            pass  # everything up to now is one wake-up

    def close(self) -> None:
        """Free the descriptor."""
        self._inotify.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
