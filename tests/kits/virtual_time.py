"""Virtual time for tests: trio's MockClock, which jumps to the next deadline when every task waits (decision 0010).

What needs asyncio itself (HTTP clients, the agent's server) is played on an asyncio loop that jumps in the same way.
There, and with MockClock, a test may use pipes and sockets of its own process, whose other side is there or silent at
once; whatever works in another process or thread would be overtaken by the clock.
"""

import asyncio
import selectors
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial, wraps
from typing import Any

import anyio
import trio.testing

__all__ = ["VirtualClock", "in_virtual_asyncio_time", "in_virtual_time", "meanwhile", "play"]


@dataclass
class VirtualClock:
    """The engine's clock for tests (`offbus.runner.clock.Clock`): the event loop's time, and what a test lets pass."""

    boot_id: str = "virtual"
    begins_s: float = 0.0
    """What it shows at first, in seconds."""
    begins: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    """When that is."""
    passed_s: float = 0.0
    """Seconds that passed without the loop: by the test's script, or while the process was suspended."""

    def seconds(self) -> float:
        """As `time.monotonic`."""
        return self.begins_s + self._elapsed_s()

    def mono_ns(self) -> int:
        """See `offbus.runner.clock.Clock`."""
        return round(self.seconds() * 1e9)

    def utc(self) -> str:
        """See `offbus.runner.clock.Clock`."""
        now = self.begins + timedelta(seconds=self._elapsed_s())
        return now.isoformat(timespec="microseconds").replace("+00:00", "Z")

    def _elapsed_s(self) -> float:
        try:
            return self.passed_s + anyio.current_time()
        except RuntimeError:  # no loop: only the script moves it
            return self.passed_s


def play(func: Callable[..., Coroutine[Any, Any, Any]], *args: Any, **more: Any) -> Any:
    """Run a coroutine function on virtual time, which begins at 0."""
    clock = trio.testing.MockClock(autojump_threshold=0)
    return anyio.run(partial(func, *args, **more), backend="trio", backend_options={"clock": clock})


def in_virtual_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Make a test of a coroutine function: it is played on virtual time, and takes none."""

    @wraps(test)
    def played(*args: Any, **more: Any) -> None:
        play(test, *args, **more)

    return played


class JumpingSelector(selectors.DefaultSelector):
    """Where nothing is ready, the time until the next timer has passed."""

    passed_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """See selectors.BaseSelector."""
        if timeout is None:
            return super().select()  # no timer: only what other threads do can end this wait
        ready = super().select(0)
        if not ready:
            self.passed_s += max(0.0, timeout)
        return ready


class JumpingLoop(asyncio.SelectorEventLoop):
    """An asyncio loop whose time begins at 0, and passes only where everything waits."""

    def __init__(self) -> None:
        self._jumping = JumpingSelector()
        super().__init__(self._jumping)
        self._clock_resolution = 1e-6  # after a year of seconds, a nanosecond more is no other number

    def time(self) -> float:
        """See asyncio."""
        return self._jumping.passed_s


def in_virtual_asyncio_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """`in_virtual_time` for what needs asyncio."""

    @wraps(test)
    def played(*args: Any, **more: Any) -> None:
        anyio.run(partial(test, *args, **more), backend_options={"loop_factory": JumpingLoop})

    return played


@asynccontextmanager
async def meanwhile(*script: tuple[float, Callable[[], Any]]) -> AsyncIterator[None]:
    """Do these things after so many seconds from now, as long as the body takes."""
    async with anyio.create_task_group() as tasks:
        for seconds, do in script:
            tasks.start_soon(_later, seconds, do)
        yield
        tasks.cancel_scope.cancel()


async def _later(seconds: float, do: Callable[[], Any]) -> None:
    await anyio.sleep(seconds)
    do()
