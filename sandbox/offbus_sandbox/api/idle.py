"""Detects that nobody uses the sandbox: after a runner was killed, it must not run for ever."""

from dataclasses import dataclass, field

import anyio
from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["Idle"]


@dataclass(slots=True)
class Idle:
    """Counts requests in flight (a watch counts for as long as it is open)."""

    idle_s: float
    """The sandbox is idle after so many seconds without a request."""
    _serving: int = 0
    _changed: anyio.Event = field(default_factory=anyio.Event)

    def counting(self, app: ASGIApp) -> ASGIApp:
        """`app`, with its requests counted."""

        async def counted(scope: Scope, receive: Receive, send: Send) -> None:
            self._serving += 1
            self._changed.set()
            try:
                await app(scope, receive, send)
            finally:
                self._serving -= 1
                self._changed.set()

        return counted

    async def reached(self) -> None:
        """Return when it is idle. The time counts from this call at the earliest: starting may take a while, and no
        client can connect before the sandbox is ready."""
        while True:
            self._changed = anyio.Event()
            with anyio.move_on_after(None if self._serving else self.idle_s) as quiet:
                await self._changed.wait()
            if quiet.cancelled_caught and not self._serving:
                return
