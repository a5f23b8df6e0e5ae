"""Files that somebody else may have made: whose they are, reading them within bounds, and replacing them whole."""

import errno
import grp
import os
import pwd
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

__all__ = ["Opener", "Reach", "read_bounded", "redirected", "replaceable_by", "replacing", "shared_with"]

Opener = Callable[[Path, int, int], int]
"""Opens a file: path, flags and mode as of os.open, which is one; another may open it in a folder that is open."""

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class Reach(NamedTuple):
    """How others than this user may write something."""

    why: str
    """As it follows the name: "belongs to root"."""
    theirs: bool
    """It belongs to them; else its mode lets them, which chmod ends."""


def read_bounded(path: Path, most: int, *, whole: bool = False, opener: Opener = os.open) -> bytes:
    """The bytes of a file, at most `most` + 1 of them: more means that it is too large. With `whole`, one that says so
    is not read at all, but raises OSError: a sparse file is large for nothing.

    Raises OSError, also for a pipe, a device and whatever else is no file: reading it might never end; and for a name
    that no file can have.
    """
    try:
        fd = opener(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY, 0)
    except ValueError as err:  # Python's, before it asks the system
        why = "its name holds a NUL" if "\0" in str(path) else "its name is not valid"
        raise OSError(errno.EINVAL, why, str(path)) from err
    try:
        found = os.fstat(fd)
        kind = stat.S_IFMT(found.st_mode)
        if kind != stat.S_IFREG:
            raise OSError(errno.EINVAL, f"it is {_KINDS.get(kind, 'something else')}, not a file", str(path))
        if whole and found.st_size > most:
            raise OSError(errno.EFBIG, f"it is larger than {most >> 20} MiB", str(path))
        with open(fd, "rb", closefd=False) as file:
            held = file.read(min(most, found.st_size) + 1)  # room for all that is asked for is taken at once
            return held if len(held) <= found.st_size else held + file.read(most + 1 - len(held))
    finally:
        os.close(fd)


@contextmanager
def replacing(path: Path, mode: int) -> Iterator[BinaryIO]:
    """A new file beside `path`, that gets its name when the block ends: synced, and whole. When the block raises, it is
    removed, and what is there stays. Raises OSError. What SIGKILL leaves is a hidden file beside it.
    """
    fd, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.")
    try:
        with os.fdopen(fd, "wb") as out:
            yield out
            out.flush()
            os.fchmod(fd, mode)  # last: a change of the owner clears bits of it
            os.fsync(fd)
        Path(beside).replace(path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise


def redirected(path: Path | str, *, dir_fd: int | None = None) -> str | None:
    """Why what is written to `path` would go elsewhere; None for a file or a folder, or when nothing is there."""
    try:
        kind = stat.S_IFMT(os.stat(path, dir_fd=dir_fd, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return None
    if kind == stat.S_IFLNK:
        return "is a symbolic link"
    return (
        None
        if kind in (stat.S_IFREG, stat.S_IFDIR)
        else f"is {_KINDS.get(kind, 'something else')}, not a file"
    )


def shared_with(path: Path | str, *, dir_fd: int | None = None) -> Reach | None:
    """How others than this user may have written `path`; None when they cannot have, or when nothing is there."""
    try:
        seen = os.stat(path, dir_fd=dir_fd, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if seen.st_uid != os.geteuid():
        return Reach(f"belongs to {_name_of(seen.st_uid)}", theirs=True)
    if seen.st_mode & _OTHERS_WRITE and not stat.S_ISLNK(seen.st_mode):
        return _written(seen)
    return None


def replaceable_by(folder: Path) -> Reach | None:
    """How others than this user may replace what lies in `folder` by something else; None when they cannot.

    Its owner can, and who may write in it, unless the sticky bit leaves that to the owner of what is replaced (EPERM of
    unlink(2)). The superuser, and whoever owns `/`, can do everything anyway. A group of this user alone, in which
    distributions put each user, is nobody else. Raises OSError.
    """
    seen = folder.stat()
    if seen.st_uid not in (os.geteuid(), 0, Path("/").stat().st_uid):
        return Reach(f"belongs to {_name_of(seen.st_uid)}", theirs=True)
    if not seen.st_mode & _OTHERS_WRITE or seen.st_mode & stat.S_ISVTX:
        return None
    return None if not seen.st_mode & stat.S_IWOTH and _is_private(seen.st_gid) else _written(seen)


def _is_private(gid: int) -> bool:
    """Whether it is this user's own group and has no other member."""
    try:
        me = pwd.getpwuid(os.geteuid())
        members = {*grp.getgrgid(gid).gr_mem, *(one.pw_name for one in pwd.getpwall() if one.pw_gid == gid)}
    except KeyError:
        return False
    return me.pw_gid == gid and members <= {me.pw_name}


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _written(seen: os.stat_result) -> Reach:
    return Reach(f"can be written by others (mode {stat.S_IMODE(seen.st_mode):04o})", theirs=False)
