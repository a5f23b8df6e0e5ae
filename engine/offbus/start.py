"""Where every `offbus` begins: a Ctrl-C while the program is still being read is told as any other, in one line.

Nothing was changed yet, so it leaves at once. From then on the commands answer for it (offbus.cli.main, and
offbus.runner.signals in a run).
"""

import os
import signal
from types import FrameType

__all__ = ["main"]

INTERRUPTED = 130
"""offbus.exits.Exit.INTERRUPTED, whose import takes longer than one may be interrupted in."""


def main() -> None:
    """Entry point of the `offbus` script. Never returns."""
    ours = (
        signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )  # `nohup` and `&` may have it ignored
    if ours:
        signal.signal(signal.SIGINT, _leave)
    from offbus.cli.main import main as commands

    if ours:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    commands()


def _leave(_number: int, _frame: FrameType | None) -> None:
    os.write(2, b"offbus: interrupted before anything was changed\n")
    os._exit(INTERRUPTED)
