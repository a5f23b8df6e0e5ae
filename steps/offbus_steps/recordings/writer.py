"""Writes a recording: a file of this user's alone (0600) that was not there before, one write for each line.

A kill leaves at most a torn last line. Nothing that is there is ever replaced or followed: a file, a link, a pipe.
"""

import os
from pathlib import Path

from offbus.errors import CouldNotRun, UsageError
from offbus_steps.recordings.format import LARGEST, Header, Line, encoded

__all__ = ["RecordingWriter"]

ROOM = 1 << 20
"""Bytes below the largest recording at which it is full: more than the lines of one update have."""


class RecordingWriter:
    """The open end of a recording."""

    def __init__(self, path: Path) -> None:
        """Raises UsageError when something is there, or no file can be made."""
        self.path = path
        self._size = 0
        try:
            self._fd = os.open(
                path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
            )
        except FileExistsError as err:
            hint = "name another file, or remove this one first: a recording is never overwritten"
            raise UsageError(f"{path} exists already", hint=hint) from err
        except (OSError, ValueError) as err:
            why = err.strerror if isinstance(err, OSError) else "its name is not valid"
            raise UsageError(f"cannot make {path}: {why}") from err

    @property
    def full(self) -> bool:
        """Whether it is as large as a recording may be."""
        return self._size > LARGEST - ROOM

    @property
    def begun(self) -> bool:
        """Whether anything was written."""
        return self._size > 0

    def write(self, line: Header | Line) -> None:
        """Append a line. Raises CouldNotRun."""
        data = encoded(line)
        try:
            written = os.write(self._fd, data)
        except OSError as err:
            raise CouldNotRun(f"cannot write {self.path}: {err.strerror}") from err
        if written < len(data):
            raise CouldNotRun(f"cannot write {self.path}: no space for the whole line")
        self._size += written

    def close(self) -> None:
        """Make it durable; remove it when nothing was written. Raises CouldNotRun."""
        try:
            if self.begun:
                os.fsync(self._fd)
            else:
                self.path.unlink()
        except OSError as err:
            raise CouldNotRun(f"cannot write {self.path}: {err.strerror}") from err
        finally:
            os.close(self._fd)
