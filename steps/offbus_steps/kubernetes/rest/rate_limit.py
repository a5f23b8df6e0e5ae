"""The run's own limit on requests to the API server: a token bucket, as client-go's (`qps` and `burst`).

Waiting uses the event loop's clock and is first come, first served. It delays requests and never refuses them.
"""

import anyio

__all__ = ["Pace"]


class Pace:
    """At most `burst` requests at once, then `qps` a second."""

    def __init__(self, qps: float, burst: int) -> None:
        self._qps = qps
        self._burst = burst
        self._tokens = float(burst)
        self._at: float | None = None

    async def take(self) -> None:
        """Wait until a request may be sent: tokens go negative, and the debt is waited for."""
        now = anyio.current_time()
        earned = 0.0 if self._at is None else (now - self._at) * self._qps
        self._tokens = min(float(self._burst), self._tokens + earned) - 1.0
        self._at = now
        if self._tokens < 0:
            await anyio.sleep(-self._tokens / self._qps)
