"""Standard output and error that never raise: a closed pipe or terminal never stops an undo.

- Closed from the start (`>&-`): the descriptor is opened on /dev/null, else the next file that is opened (a journal)
  would get its number and the output.
- Closed by the reader (`| head -1`), or the terminal is gone: from then on everything is dropped, silently.
- Failed for another reason (a full disk): dropped as well, but reported at the end with an exit status that is not 0,
  because the output is incomplete.
- A character that the encoding lacks becomes "?".
"""

import errno
import io
import os
import sys
from collections.abc import Callable
from typing import IO, Any

import click

from offbus.printable import printable

__all__ = ["Output", "open_outputs", "say"]

GONE = (errno.EPIPE, errno.EBADF, errno.EIO, errno.ENXIO)
"""The reader is gone."""


class Output(io.FileIO):
    """A descriptor whose writes never fail; `failed` holds the first error."""

    failed: OSError | None = None

    def write(self, data: Any, /) -> int:
        """Write, or drop once writing has failed."""
        if self.failed is None:
            try:
                return super().write(data) or 0
            except OSError as err:
                self.failed = err
        return len(data)


def say(line: str, *, err: bool = False) -> None:
    """Print one line, whatever it holds: what came from outside is made printable, line ends too."""
    click.echo(printable(line), err=err)


def open_outputs() -> Callable[[], str | None]:
    """Put both standard streams on such descriptors. Returns a function that says, at the end, why output was lost."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
            os.set_inheritable(opened, True)
    out = _over(1, sys.stdout)
    err = _over(2, sys.stderr)
    sys.stdout = out[0] or sys.stdout
    sys.stderr = err[0] or sys.stderr

    def ended() -> str | None:
        sys.stdout.flush()
        lost = out[1].failed if out[1] is not None else None
        return lost.strerror if lost is not None and lost.errno not in GONE else None

    return ended


def _over(fd: int, stream: IO[str] | None) -> tuple[io.TextIOWrapper | None, Output | None]:
    """The stream of a descriptor; none where a test or an embedding program has replaced it."""
    if stream is not None and stream is not (sys.__stdout__ if fd == 1 else sys.__stderr__):
        return None, None
    raw = Output(fd, "w", closefd=False)
    buffered = io.BufferedWriter(raw)
    encoding = getattr(stream, "encoding", None) or "utf-8"
    errors = "replace" if fd == 1 else "backslashreplace"
    lines = fd == 2 or raw.isatty()
    return io.TextIOWrapper(buffered, encoding=encoding, errors=errors, line_buffering=lines), raw
