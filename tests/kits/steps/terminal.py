"""A program on a terminal of its own: what it asks, and what is typed."""

import os
import pty
import select
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

__all__ = ["Terminal", "on_terminal"]

LONG = 100


class Terminal:
    """The other end."""

    def __init__(self, process: "subprocess.Popen[bytes]", fd: int) -> None:
        self.process = process
        self._fd = fd
        self.shown = ""

    def until(self, asked: str) -> str:
        """What is shown until the last thing that it shows ends so."""
        begun = len(self.shown)
        while not self.shown[begun:].endswith(asked):
            more = self._more()
            assert more, f"it ended without asking {asked!r}: {self.shown}"
            self.shown += more
        return self.shown[begun:]

    def type(self, text: str) -> None:
        """As a person does; \\x03 is Ctrl-C, \\x04 Ctrl-D."""
        os.write(self._fd, text.encode())

    def interrupt(self) -> int:
        """Ctrl-C, again each second until it has an effect; its exit status.

        Between the last look at signals and the read that blocks, `input` of CPython overlooks one; a person presses
        the key again.
        """
        while True:
            self.type("\x03")
            while select.select([self._fd], [], [], 1)[0]:
                more = self._more()
                self.shown += more
                if more.strip("^C") == more:  # not the echo of the key: its last words, or the end
                    return self.end()

    def end(self) -> int:
        """Its exit status, when all was read."""
        while more := self._more():
            self.shown += more
        return self.process.wait(LONG)

    def _more(self) -> str:
        try:
            return os.read(self._fd, 4096).decode().replace("\r", "")
        except OSError:  # nobody holds the terminal any more (EIO)
            return ""


@contextmanager
def on_terminal(command: Sequence[str], cwd: Path) -> Iterator[Terminal]:
    """The program has the terminal for its stdin, stdout and stderr; it is ended with the block."""
    ours, its = pty.openpty()
    try:
        # in a session that the terminal controls: it sends Ctrl-C as SIGINT (setsid(1), of util-linux)
        process = subprocess.Popen(["setsid", "--ctty", *command], cwd=cwd, stdin=its, stdout=its, stderr=its)
    finally:
        os.close(its)
    try:
        yield Terminal(process, ours)
    finally:
        process.kill()
        process.wait(LONG)
        os.close(ours)
