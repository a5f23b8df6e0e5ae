"""CrashLoopBackOff: how long a container waits before its next start.

As in the kubelet: the first failure restarts at once and opens the window; a failure inside it waits for the rest of
the window, which then doubles; a container that ran long enough starts with a fresh back-off.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

import anyio

from offbus_sandbox.config import Backoff

__all__ = ["CrashLoop", "restarted"]

T = TypeVar("T")


@dataclass(slots=True)
class CrashLoop:
    """The back-off of one container. Pure: times are passed in."""

    policy: Backoff
    _window: float = field(default=0.0, init=False)

    def delay(self, ran_s: float) -> float:
        """Seconds to wait before the restart of a container that ran for `ran_s`; advances the back-off."""
        if ran_s >= self.policy.forget_after_s:
            self._window = 0.0
        wait = self._window
        grown = wait * self.policy.factor if wait else self.policy.base_s
        self._window = min(grown, self.policy.cap_s)
        return wait


async def restarted(
    policy: Backoff, life: Callable[[int], Awaitable[T | None]], waits: Callable[[float], None]
) -> T:
    """Call `life` with its number from 0 until it returns a result; `waits` is called before each pause."""
    crashes, number = CrashLoop(policy), 0
    while True:
        begun = anyio.current_time()
        result = await life(number)
        if result is not None:
            return result
        pause_s = crashes.delay(anyio.current_time() - begun)
        waits(pause_s)
        await anyio.sleep(pause_s)
        number += 1
