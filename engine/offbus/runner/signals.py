"""Signals: the first one stops the run and undoes; a second SIGINT exits at once.

The handlers are raw (signal.signal), because a handler of the event loop waits for the loop, and a loop that is
blocked must not keep a person from exiting. A SIGTERM or SIGHUP after the first signal is not a second SIGINT: CI
systems send SIGINT and then SIGTERM.
"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Protocol

from offbus.exits import Exit

__all__ = ["STOPPING", "stop_on_signals"]


class Wake(Protocol):
    """Hands a call to the event loop from a signal handler: `loop.call_soon_threadsafe`."""

    def __call__(self, call: Callable[[], None], /) -> object: ...


STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def stop_on_signals(wake: Wake, stop: Callable[[str], None], parting: Callable[[], str]) -> Iterator[None]:
    """While the block runs, the first signal calls `stop(name)` inside the event loop.

    `parting` makes the text that is printed when a second SIGINT ends the process with exit code 4.
    """
    seen: list[int] = []

    def handle(number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGINT and signal.SIGINT in seen:
            # Neither print, which this may have interrupted (it is not reentrant), nor an exit that cleans up: that may
            # be what hangs.
            os.write(2, f"\n{parting()}\n".encode())
            os._exit(Exit.RESIDUE)
        if not seen:
            wake(lambda: stop(signal.Signals(number).name))
        seen.append(number)

    heeded = [number for number in STOPPING if signal.getsignal(number) is not signal.SIG_IGN]  # nohup
    before = {number: signal.signal(number, handle) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
