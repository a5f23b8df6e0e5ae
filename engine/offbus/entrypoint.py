"""Entry point of every `offbus` command: a Ctrl-C while modules are still being imported is reported in one line.

Nothing was changed yet, so the process exits at once. After that the commands handle it (offbus.cli.main, and
offbus.runner.signals in a run).
"""

import gc
import os
import signal
from types import FrameType

__all__ = ["main"]

INTERRUPTED = 130
"""offbus.exits.Exit.INTERRUPTED, which is not imported: a Ctrl-C may come during that import."""


GC_THRESHOLDS = (10_000, 10, 20)
"""For gc.set_threshold: a scenario and the report of a run live until the end, so scanning them again and again frees
nothing. By default it is a tenth of the time of a run of 10,000 steps."""


def main() -> None:
    """Entry point of the `offbus` script. Never returns."""
    ours = (
        signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )  # `nohup` and `&` may have it ignored
    if ours:
        signal.signal(signal.SIGINT, _leave)
    gc.disable()  # imports leave no garbage
    from offbus.cli.main import main as commands

    gc.set_threshold(*GC_THRESHOLDS)
    gc.enable()
    if ours:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    commands()


def _leave(_number: int, _frame: FrameType | None) -> None:
    os.write(2, b"offbus: interrupted before anything was changed\n")
    os._exit(INTERRUPTED)
