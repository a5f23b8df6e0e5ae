"""Writes files that belong together: all of them, or none.

Each name is taken first, so that nothing that is there is ever overwritten unless that is asked for. Then each file is
written beside its name, synced, and renamed to it: no reader sees half of one. Whatever fails, everything is as it
was: names are given up, old files get their bytes back, and folders that were made are removed.

SIGINT, SIGTERM and SIGHUP are held back meanwhile; one that came is a failure like any other, and is delivered when all
is undone. What is left after SIGKILL is at most empty files, and hidden ones beside them.
"""

import errno
import os
import signal
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from offbus.errors import CouldNotRun, UsageError
from offbus.files import read_bounded, redirected, replacing
from offbus.runner.signals import STOPPING

__all__ = ["write_all"]

LARGEST = 4 << 20
"""Bytes of an old file that is overwritten: it is held until all are written."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def write_all(files: Mapping[Path, bytes], *, force: bool) -> None:
    """Write them; `force` overwrites. Raises UsageError when one is there, or may not be written; CouldNotRun when the
    disk is full."""
    there = [path for path in files if os.path.lexists(path)]
    if there and not force:
        names = " and ".join(map(str, there))
        hint = "--force overwrites; --name, or another folder, writes others"
        raise UsageError(f"{names} {'exists' if len(there) == 1 else 'exist'} already", hint=hint)
    with _signals_held() as came, ExitStack() as undo:
        for path in files:
            with _told(path):
                _take(path, undo, force=force)
        for path, data in files.items():
            with _told(path):
                _put(path, data)
        if not came():
            undo.pop_all()


def _take(path: Path, undo: ExitStack, *, force: bool) -> None:
    """Make its folders and an empty file, or hold the bytes of the file that is there. Raises OSError."""
    missing = [path.parent, *path.parent.parents]
    for folder in reversed([one for one in missing if not os.path.lexists(one)]):
        folder.mkdir()
        undo.callback(_remove, folder)
    if why := redirected(path):
        raise OSError(errno.ELOOP, f"it {why}")
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666))
    except FileExistsError:
        if not force:  # somebody was quicker
            raise
        undo.callback(_put, path, read_bounded(path, LARGEST, whole=True))
    else:
        undo.callback(path.unlink, missing_ok=True)


def _put(path: Path, data: bytes) -> None:
    """Replace a file. Raises OSError."""
    with replacing(path, stat.S_IMODE(path.stat().st_mode)) as out:
        out.write(data)


def _remove(folder: Path) -> None:
    with suppress(OSError):  # somebody else has put something there meanwhile
        folder.rmdir()


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as err:
        why = err.strerror if isinstance(err, OSError) else "its name is not valid"
        full = isinstance(err, OSError) and err.errno in _FULL
        raise (CouldNotRun if full else UsageError)(
            f"{path} cannot be written: {why}", hint="nothing was written"
        ) from err


@contextmanager
def _signals_held() -> Iterator[Callable[[], bool]]:
    """Yields whether one came. Those that are ignored (nohup) are not asked for: they would be pending, too."""
    heeded = {number for number in STOPPING if signal.getsignal(number) is not signal.SIG_IGN}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, heeded)
    try:
        yield lambda: not heeded.isdisjoint(signal.sigpending())
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
