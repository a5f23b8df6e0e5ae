"""Files that somebody else may have made: whose they are, and reading them, bounded and without waiting for a pipe."""

import errno
import os
import pwd
import stat
from pathlib import Path

__all__ = ["read_bounded", "redirected", "shared_with"]

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def read_bounded(path: Path, most: int, *, whole: bool = False) -> bytes:
    """The bytes of a file, at most `most` + 1 of them: more means that it is too large. With `whole`, one that says so
    is not read at all, but raises OSError: a sparse file is large for nothing.

    Raises OSError, also for a pipe, a device and whatever else is no file: reading it might never end; and for a name
    that no file can have.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except ValueError as err:  # Python's, before it asks the system
        why = "its name holds a NUL" if "\0" in str(path) else "its name is not valid"
        raise OSError(errno.EINVAL, why, str(path)) from err
    try:
        found = os.fstat(fd)
        kind = stat.S_IFMT(found.st_mode)
        if kind != stat.S_IFREG:
            raise OSError(errno.EINVAL, f"it is {_KINDS.get(kind, 'something else')}, not a file", str(path))
        if whole and found.st_size > most:
            raise OSError(errno.EFBIG, f"it is larger than {most >> 30} GiB", str(path))
        with open(fd, "rb", closefd=False) as file:
            return file.read(most + 1)
    finally:
        os.close(fd)


def redirected(path: Path) -> str | None:
    """Why what is written to `path` would go elsewhere; None for a file or a folder, or when nothing is there."""
    try:
        kind = stat.S_IFMT(path.lstat().st_mode)
    except FileNotFoundError:
        return None
    if kind == stat.S_IFLNK:
        return "is a symbolic link"
    return (
        None
        if kind in (stat.S_IFREG, stat.S_IFDIR)
        else f"is {_KINDS.get(kind, 'something else')}, not a file"
    )


def shared_with(path: Path) -> str | None:
    """Why others than this user may have written `path`; None when they cannot have, or when nothing is there."""
    try:
        seen = path.lstat()
    except FileNotFoundError:
        return None
    if seen.st_uid != os.geteuid():
        try:
            owner = pwd.getpwuid(seen.st_uid).pw_name
        except KeyError:
            owner = f"user {seen.st_uid}"
        return f"belongs to {owner}"
    if seen.st_mode & _OTHERS_WRITE and not stat.S_ISLNK(seen.st_mode):
        return f"can be written by others (mode {stat.S_IMODE(seen.st_mode):04o})"
    return None
