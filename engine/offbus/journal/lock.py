"""Locks on run folders and on places: the kernel drops them when their owner dies, however it dies.

The holder's name is in the file for people; the lock itself is flock(2).
"""

import fcntl
import json
import os
import socket
from pathlib import Path
from typing import Self

from offbus.errors import CouldNotRun

__all__ = ["FileLock", "HeldElsewhere"]


class HeldElsewhere(CouldNotRun):
    """Raised when another process holds the lock; the message names it."""


class FileLock:
    """An exclusive lock on a file, for the life of this process or until `release`."""

    def __init__(self, path: Path, what: str) -> None:
        self.path = path
        self._what = what
        self._fd = -1

    def acquire(self) -> Self:
        """Take the lock. Raises HeldElsewhere, or CouldNotRun when the file cannot be made."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as err:
            raise CouldNotRun(f"cannot lock {self._what}: {self.path}: {err.strerror}") from err
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as err:
            holder = os.read(fd, 4096)
            os.close(fd)
            raise HeldElsewhere(f"{self._what} is in use by {_name(holder)}") from err
        _sign(fd)
        self._fd = fd
        return self

    def release(self) -> None:
        """Give the lock up; harmless when it is not held."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


def _sign(fd: int) -> None:
    os.ftruncate(fd, 0)
    os.pwrite(fd, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode(), 0)


def _name(holder: bytes) -> str:
    try:
        who = json.loads(holder)
        return f"process {who['pid']} on {who['host']}"
    except (ValueError, KeyError, TypeError):
        return "another process"
