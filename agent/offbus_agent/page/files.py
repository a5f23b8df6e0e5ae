"""Creates and opens the page's files: fixed size, created atomically, never replaced.

Job: a file appears under its name complete or not at all (written to a temporary file, then hard-linked), and an
existing one is only opened. Anything except a regular file of ours raises `PageError`; nothing is deleted or truncated
here. A pod may write in its folder of events while its file is made there: what is linked is the open file, never what
stands under the temporary name by then, and nothing else is looked up by that name but to remove it. A file may be held
by a lease (fcntl(2)), which a pod's root can take on any that it sees: whoever opens it then waits up to 45 s. Nobody
waits for a pod's own file; for the control page its agent does, as faults are armed there.
"""

import os
import stat
import tempfile
from pathlib import Path

__all__ = ["PageError", "open_or_create", "read_boot_id"]


class PageError(Exception):
    """Raised when a page file cannot be used; says which one, why, and what to do."""


def open_or_create(path: Path, content: bytes, mode: int, *, wait: bool) -> tuple[int, bool]:
    """A read-write descriptor, and whether the file was created now, with `content` and permission bits `mode`.

    `wait` until a lease is given back; otherwise a file with one raises PageError.
    """
    try:
        return _open(path, wait), False
    except FileNotFoundError:
        made = _create(path, content, mode)
    return _open(path, wait), made


def _open(path: Path, wait: bool) -> int:
    """Looked at before it is opened: to open a device or a FIFO that a pod put there may have an effect."""
    try:
        seen = os.open(path, os.O_PATH | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        raise
    except OSError as err:
        raise PageError(f"cannot open {path}: {err.strerror}") from err
    try:
        if not stat.S_ISREG(os.fstat(seen).st_mode):
            raise PageError(f"{path} is not a regular file; move it away")
        return os.open(f"/proc/self/fd/{seen}", os.O_RDWR | os.O_CLOEXEC | (0 if wait else os.O_NONBLOCK))
    except BlockingIOError as err:
        raise PageError(f"{path} is held by a lease") from err
    except OSError as err:
        raise PageError(f"cannot open {path}: {err.strerror}; check that it is of this user") from err
    finally:
        os.close(seen)


def _create(path: Path, content: bytes, mode: int) -> bool:
    """Create the file; False when another process was first."""
    try:
        fd, aside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as err:
        raise PageError(f"{path}: cannot be made: {err.strerror}") from err
    try:
        with os.fdopen(fd, "wb") as file:
            os.fchmod(fd, mode)
            file.write(content)
            file.flush()
            _link(fd, path)
    except FileExistsError:
        return False
    except OSError as err:
        raise PageError(f"{path}: cannot be made: {err.strerror}") from err
    finally:
        Path(aside).unlink(missing_ok=True)
    return True


def _link(fd: int, path: Path) -> None:
    """Give an open file a name, if there is none. Raises OSError: FileNotFoundError for a file without any name left.

    By the link of its descriptor in /proc (open(2), O_TMPFILE): linkat(2) is to follow that one. Python calls it only
    with a folder's descriptor, which an absolute path ignores; and what it follows without being asked differs between
    its versions (python/cpython#81793).
    """
    within = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.link(f"/proc/self/fd/{fd}", path.name, src_dir_fd=within, dst_dir_fd=within, follow_symlinks=True)
    finally:
        os.close(within)


def read_boot_id() -> str:
    """The kernel's id of this boot, 36 characters (random(4))."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
