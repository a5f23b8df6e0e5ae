"""Ends a benchmark at SIGINT, SIGTERM and SIGHUP as at its end: what it has started is taken down, then it exits."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from offbus.runner.signals import STOPPING

__all__ = ["stoppable"]


@contextmanager
def stoppable() -> Iterator[None]:
    """The first of these signals raises SystemExit in the block, and the others are ignored then; one that is ignored
    already (nohup) stays so. Each part of a benchmark ends its own processes; those that it started at that very
    moment are ended here."""
    for number in STOPPING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)
    try:
        yield
    finally:
        for child in _children():
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            with suppress(ChildProcessError):  # another waits for it
                os.waitpid(child, 0)


def _stop(number: int, _frame: FrameType | None) -> None:
    for one in STOPPING:
        signal.signal(one, signal.SIG_IGN)
    raise SystemExit(128 + number)


def _children() -> list[int]:
    """Those of any thread (proc(5): task/TID/children)."""
    lists = Path("/proc/self/task").glob("*/children")
    return [int(pid) for one in lists for pid in one.read_text().split()]
