"""Locks on run folders and on environments, and who holds one, which whoever is refused is told.

The kernel drops them when their owner dies, however it dies.

The lock itself is flock(2); a file that a dead process left behind never blocks. The holder is written into the file,
for people and for `offbus stop`: user, host, boot, pid, and when that process started, because pids are used again.
A folder that somebody else made may have anything under the file's name, and a link under that of the folder it is in:
only a file is opened, through no link, and none is signed that has another name, too.
"""

import errno
import fcntl
import getpass
import json
import os
import socket
import stat
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from offbus.errors import CouldNotRun
from offbus.files import Opener, read_bounded, redirected
from offbus.json_values import parsed

__all__ = ["FileLock", "HeldElsewhere", "Holder", "boot_id", "holder_of", "process_started"]


LARGEST_PID = 2**22
"""PID_MAX_LIMIT of Linux (include/linux/threads.h)."""
_CAREFULLY = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
"""A link instead of a lock file would have us write into what it points to; a pipe would block."""


class HeldElsewhere(CouldNotRun):
    """Raised when another process holds the lock; the message names it."""


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that last took a lock."""

    owner: str
    host: str
    boot: str
    pid: int
    started: int
    """Clock ticks after boot (proc(5), /proc/PID/stat, field 22); 0 where there is no /proc."""
    task: str
    """What the lock was taken for: run, recover, residue …"""

    def __str__(self) -> str:
        return f"process {self.pid} of {self.owner} on {self.host} ({self.task})"

    @property
    def is_here(self) -> bool:
        """Whether it is a process of this machine since its last boot, and still the same one."""
        return (self.host, self.boot) == (
            socket.gethostname(),
            boot_id(),
        ) and self.started == process_started(self.pid)

    def holds(self, locked: os.stat_result) -> bool:
        """Whether that process itself holds the lock of this file, as an owner does. Raises OSError: cannot be asked.

        The file only says who took it last, and whoever can read it can hold its lock. The kernel tells which open
        file holds it, and how that was opened: lines `lock:` and `flags:` of /proc/PID/fdinfo/FD (proc(5)). The device
        and inode that /proc/locks shows are not those of stat(2) on every file system.
        """
        try:
            opened = list(Path(f"/proc/{self.pid}/fd").iterdir())
        except FileNotFoundError:  # it has ended
            return False
        for one in opened:
            with suppress(FileNotFoundError):  # closed meanwhile
                if os.path.samestat(one.stat(), locked) and _is_owners(
                    one.parent.parent / "fdinfo" / one.name
                ):
                    return True
        return False


class FileLock:
    """An exclusive lock on a file, for the life of this process or until `release`."""

    def __init__(self, path: Path, what: str, *, task: str = "run", opener: Opener | None = None) -> None:
        """With an opener, the file is in a folder that is there; without, its folder is made with it."""
        self.path = path
        self._opener = opener or _in_its_folder
        self._what = what
        self._task = task
        self._fd = -1

    def acquire(self) -> Self:
        """Take the lock. Raises HeldElsewhere, or CouldNotRun when the file cannot be made."""
        fd = self._open_locked(os.O_RDWR | os.O_CREAT)
        if fd is None:
            who = holder_of(self.path, self._opener) or "another process"
            raise HeldElsewhere(f"{self._what} is held by {who}")
        self._sign(fd)
        self._fd = fd
        return self

    def is_held(self) -> bool:
        """Whether a process holds it. No file is made, and none is written. Raises CouldNotRun."""
        try:
            fd = self._open_locked(os.O_RDONLY)
        except CouldNotRun as err:
            if isinstance(err.__cause__, FileNotFoundError):
                return False
            raise
        if fd is not None:
            os.close(fd)
        return fd is None

    def release(self) -> None:
        """Release the lock; harmless when it is not held."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

    def _open_locked(self, flags: int) -> int | None:
        """The descriptor that holds the lock; None when another process holds it. Raises CouldNotRun."""
        fd = -1
        try:
            fd = self._opener(self.path, flags | _CAREFULLY, 0o600)
            seen = os.fstat(fd)
            if not stat.S_ISREG(seen.st_mode):
                raise OSError(errno.EINVAL, "it is not a file")
            if flags & os.O_RDWR and seen.st_nlink > 1:
                raise OSError(errno.EINVAL, "it is a file of another name, too, which would be overwritten")
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as err:
            if fd >= 0:
                os.close(fd)
            if isinstance(err, BlockingIOError):
                return None
            raise CouldNotRun(f"cannot lock {self._what}: {self.path}: {err.strerror}") from err
        return fd

    def _sign(self, fd: int) -> None:
        """Write the holder into the file. On a full disk none is named; the lock still holds."""
        try:
            user = getpass.getuser()
        except (KeyError, OSError):  # a container's user without a name
            user = f"user {os.getuid()}"
        pid = os.getpid()
        who = Holder(user, socket.gethostname(), boot_id(), pid, process_started(pid) or 0, self._task)
        try:
            os.ftruncate(fd, 0)
            os.pwrite(fd, json.dumps(asdict(who)).encode(), 0)
        except OSError:
            return


def _is_owners(descriptor: Path) -> bool:
    """Whether an open file holds a lock of flock(2), and was opened for writing as `acquire` does."""
    told = [line.split() for line in descriptor.read_text(encoding="ascii", errors="replace").splitlines()]
    written = any(
        line[0] == "flags:" and int(line[1], 8) & os.O_ACCMODE == os.O_RDWR for line in told if line
    )
    return written and any(line[0] == "lock:" and "FLOCK" in line for line in told if line)


def _in_its_folder(path: Path, flags: int, mode: int) -> int:
    """Open a file in its folder, which is no link, and is made with the file. Raises OSError."""
    folder = path.parent
    try:
        if flags & os.O_CREAT:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        within = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as err:
        if (why := redirected(folder)) is None:
            raise
        raise OSError(err.errno, f"{folder} {why}, which is not followed") from err
    try:
        return os.open(path.name, flags, mode, dir_fd=within)
    finally:
        os.close(within)


def holder_of(path: Path, opener: Opener = os.open) -> Holder | None:
    """Who took the lock last, if the file says so; whether it is still held only `acquire` can tell."""
    try:
        said = parsed(read_bounded(path, 4096, opener=opener))
        return Holder(**said) if type(said["pid"]) is int and 0 < said["pid"] <= LARGEST_PID else None
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return None


def process_started(pid: int) -> int | None:
    """When a process started, in clock ticks after boot; None when there is no such process, or no /proc."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return int(fields.rpartition(")")[2].split()[19])


def boot_id() -> str:
    """The id of this boot of the machine; "unknown" where the kernel has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return "unknown"
