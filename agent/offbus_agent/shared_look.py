"""Looks at the node that many may ask for at once: one at a time, shared, and with a rest after each.

Job: whoever asks while a look is under way is answered by the next one, which begins after the question; where an
answer may be a moment old (`joins`), by that one. However many ask, one thread is used, a fifth of the time.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

__all__ = ["Shared"]

_SHARE = 4
"""How many times as long as the look before it a rest is."""
_LONGEST_REST_S = 1.0
_T = TypeVar("_T")


class Shared(Generic[_T]):
    """One kind of look."""

    def __init__(self, look: Callable[[], Awaitable[_T]], *, joins: bool = False) -> None:
        self._look = look
        self._joins = joins
        self._next: asyncio.Task[_T] | None = None
        self._alone = asyncio.Lock()
        self._rested_at = 0.0

    async def __call__(self) -> _T:
        """What is found. Raises what the look raises."""
        if self._next is None:
            self._next = asyncio.create_task(self._begin())
        return await asyncio.shield(self._next)

    async def _begin(self) -> _T:
        loop = asyncio.get_running_loop()
        async with self._alone:
            try:
                await asyncio.sleep(self._rested_at - loop.time())
                if not self._joins:
                    self._next = None
                begun = loop.time()
                found = await self._look()
                took = loop.time() - begun
                self._rested_at = loop.time() + min(_SHARE * took, _LONGEST_REST_S)
                return found
            finally:
                if self._joins:
                    self._next = None
