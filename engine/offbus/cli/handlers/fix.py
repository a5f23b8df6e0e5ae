"""What `offbus validate --fix` does with files: the certain fixes (offbus.language.fix), written or shown.

A file is replaced whole or not at all: the new bytes are written beside it, synced, and given its name, with its owner
and mode. It is refused, and stays as it is, where that would not replace this very file (a symbolic link, another name
of the same file), where it may not be written, or where somebody has changed it meanwhile.
"""

import errno
import os
import stat
from collections.abc import Iterator
from difflib import unified_diff
from pathlib import Path

from offbus.cli.handlers.overrides import Overrides
from offbus.errors import CouldNotRun, UsageError
from offbus.files import redirected, replacing
from offbus.language.fix import Fixed, fixed
from offbus.language.syntax import source

__all__ = ["difference", "fix_file", "fixes_of"]

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def fixes_of(file: Path, overrides: Overrides) -> tuple[bytes, Fixed]:
    """The file's bytes, and what its certain fixes make of them. Raises UsageError when it cannot be read."""
    data = source.bytes_of(file)
    return data, fixed(data, str(file), lambda held: overrides.findings_in(file, held))


def fix_file(file: Path, overrides: Overrides) -> Fixed:
    """Make the fixes in the file. Raises UsageError when it is refused, CouldNotRun when the disk is full."""
    was, made = fixes_of(file, overrides)
    if made.findings:
        try:
            _replace(file, was, made.data)
        except OSError as err:
            refused = f"{file}: it cannot be fixed: {err.strerror}"
            hint = "nothing was written; --fix --diff shows the fixes"
            raise (CouldNotRun if err.errno in _FULL else UsageError)(refused, hint=hint) from err
    return made


def difference(file: Path, was: bytes, made: Fixed) -> Iterator[str]:
    """The change as `diff -u` shows it, line by line, without line ends."""
    old, new = (data.decode("utf-8", "replace").removesuffix("\n").split("\n") for data in (was, made.data))
    yield from unified_diff(old, new, str(file), f"{file} (fixed)", lineterm="")


def _replace(file: Path, was: bytes, data: bytes) -> None:
    """Raises OSError, whose text says why the file stays as it is."""
    if why := redirected(file):
        raise OSError(errno.ELOOP, f"it {why}, to {os.path.realpath(file)}: name that one")
    seen = file.stat(follow_symlinks=False)
    if seen.st_nlink > 1:
        raise OSError(errno.EMLINK, "it has another name, too, which would not be fixed")
    os.close(os.open(file, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW))  # whether it may be written
    with replacing(file, stat.S_IMODE(seen.st_mode)) as out:
        out.write(data)
        if (seen.st_uid, seen.st_gid) != (os.geteuid(), os.fstat(out.fileno()).st_gid):
            os.fchown(out.fileno(), seen.st_uid, seen.st_gid)
        out.flush()
        os.fsync(out.fileno())  # it takes a while: who changes the file meanwhile is seen
        if source.bytes_of(file) != was:
            raise OSError(errno.EBUSY, "somebody has changed it meanwhile")
