"""Where every `offbus` begins: a Ctrl-C while the program is still being read is told as any other, in one line.

Nothing was changed yet, so it leaves at once. From then on the commands answer for it (offbus.cli.main, and
offbus.runner.signals in a run).
"""

import gc
import os
import signal
from types import FrameType

__all__ = ["main"]

INTERRUPTED = 130
"""offbus.exits.Exit.INTERRUPTED, whose import takes longer than one may be interrupted in."""


CALM = (10_000, 10, 20)
"""Thresholds of the collector (gc.set_threshold): a scenario and what a run has to report stay until the end, so
looking at them again and again finds nothing. By default it is a tenth of the time of a run of 10,000 steps."""


def main() -> None:
    """Entry point of the `offbus` script. Never returns."""
    ours = (
        signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )  # `nohup` and `&` may have it ignored
    if ours:
        signal.signal(signal.SIGINT, _leave)
    gc.disable()  # what is being imported is no garbage
    from offbus.cli.main import main as commands

    gc.set_threshold(*CALM)
    gc.enable()
    if ours:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    commands()


def _leave(_number: int, _frame: FrameType | None) -> None:
    os.write(2, b"offbus: interrupted before anything was changed\n")
    os._exit(INTERRUPTED)
