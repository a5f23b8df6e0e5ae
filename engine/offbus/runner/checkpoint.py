"""Lets the event loop run now and then in a long sequence of things that never wait, so that a signal is handled."""

import anyio.lowlevel

__all__ = ["Checkpoint"]

EVERY = 16
"""Turns, which take a few milliseconds. One turn of the event loop costs as much as a step that does nothing."""


class Checkpoint:
    """Call `take` before every turn."""

    def __init__(self) -> None:
        self._turns = 0

    async def take(self) -> None:
        """Let other tasks run when it is time to; it can be cancelled only then."""
        self._turns += 1
        if self._turns % EVERY == 0:
            await anyio.lowlevel.checkpoint()
