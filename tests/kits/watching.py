"""Waits until something holds that a program writes to a file, by watching the file's folder: no clock, no polling."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import anyio

from offbus_sandbox.responder.detector.inotify import Folder

__all__ = ["wait_until", "watch_until"]

WATCHDOG_S = 120.0


async def watch_until(folder: Path, holds: Callable[[], bool]) -> None:
    """Look whenever something in the folder has changed. Raises TimeoutError after two minutes."""
    with Folder(folder) as watched, anyio.fail_after(WATCHDOG_S):
        while not holds():
            await watched.changed()


def wait_until(folder: Path, holds: Callable[[], bool]) -> None:
    """The same, for tests without an event loop."""
    anyio.run(partial(watch_until, folder, holds))
