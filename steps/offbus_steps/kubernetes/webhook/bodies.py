"""Bodies of requests that anybody in the cluster may send: bounded each, all together, and in time.

A whole review comes at once, as the API server sends it. So those that have not ended hold `TOGETHER` at most: for one
more, the ones that began first are given up, and a body that has not come after `BODY_S` is, too. An honest review is
read in a moment, however many others have stalled; one that is given up is a pod that is admitted unchanged.
"""

import asyncio
from collections.abc import AsyncIterator

__all__ = ["BODY_S", "LARGEST_REVIEW", "TOGETHER", "Bodies", "TooLarge", "TooSlow"]

LARGEST_REVIEW = 4 * 1024 * 1024
"""Bytes; etcd stores no object of more than 1.5 MiB, and a review holds one."""
TOGETHER = 32 * 1024 * 1024
"""Bytes of the bodies that have not ended; the container has 256 MiB (deploy/webhook)."""
BODY_S = 10.0
"""From the end of the head to the end of the body; no API server waits for an answer longer than 30 s."""


class TooLarge(Exception):
    """Raised when a body is too large, or was given up for those that came after it."""


class TooSlow(Exception):
    """Raised when a body did not arrive in time."""


class Bodies:
    """The bodies that a server is reading."""

    def __init__(self) -> None:
        self._unfinished: dict[asyncio.Timeout, bytearray] = {}
        """By their time, the oldest first; one that was given up is not among them."""

    @property
    def held(self) -> int:
        """Bytes of those that have not ended."""
        return sum(map(len, self._unfinished.values()))

    async def read(self, pieces: AsyncIterator[bytes]) -> bytes:
        """All of a body. Raises TooLarge, TooSlow."""
        body, time = bytearray(), asyncio.timeout(BODY_S)
        self._unfinished[time] = body
        try:
            async with time:
                async for piece in pieces:
                    self._make_room(len(piece))
                    body += piece
                    if len(body) > LARGEST_REVIEW:
                        raise TooLarge(f"the review has more than {LARGEST_REVIEW} bytes")
                return bytes(body)
        except TimeoutError:
            if time in self._unfinished:
                raise TooSlow(f"the review did not arrive within {BODY_S:g} s") from None
            raise TooLarge(f"reviews that have not ended hold more than {TOGETHER} bytes") from None
        finally:
            self._unfinished.pop(time, None)

    def _make_room(self, size: int) -> None:
        """End the oldest ones, with their connections and what those hold; never the newest."""
        while self.held + size > TOGETHER and len(self._unfinished) > 1:
            oldest = next(iter(self._unfinished))
            self._unfinished.pop(oldest).clear()
            oldest.reschedule(asyncio.get_running_loop().time())
