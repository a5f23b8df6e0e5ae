"""Reads files that a user names, or that lie where others can write: bounded, never blocked by a pipe or a device."""

import errno
import os
import stat
from pathlib import Path

__all__ = ["read_bounded"]

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def read_bounded(path: Path, most: int) -> bytes:
    """The bytes of a file, at most `most` + 1 of them: more means that it is too large.

    Raises OSError, also for a pipe, a device and whatever else is no file: reading it might never end; and for a name
    that no file can have.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except ValueError as err:  # Python's, before it asks the system
        why = "its name holds a NUL" if "\0" in str(path) else "its name is not valid"
        raise OSError(errno.EINVAL, why, str(path)) from err
    try:
        kind = stat.S_IFMT(os.fstat(fd).st_mode)
        if kind != stat.S_IFREG:
            raise OSError(errno.EINVAL, f"it is {_KINDS.get(kind, 'something else')}, not a file", str(path))
        with open(fd, "rb", closefd=False) as file:
            return file.read(most + 1)
    finally:
        os.close(fd)
