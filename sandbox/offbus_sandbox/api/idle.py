"""Tells when nobody has used the sandbox for a while: a runner that was killed must not leave it for ever."""

import anyio
from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["Idle"]


class Idle:
    """Counts requests that are being served (a watch is one for its whole life)."""

    def __init__(self, idle_s: float) -> None:
        """Idle is who had no request for `idle_s` seconds."""
        self._idle_s = idle_s
        self._serving = 0
        self._changed = anyio.Event()

    def counting(self, app: ASGIApp) -> ASGIApp:
        """`app`, with its requests counted."""

        async def counted(scope: Scope, receive: Receive, send: Send) -> None:
            self._count(1)
            try:
                await app(scope, receive, send)
            finally:
                self._count(-1)

        return counted

    async def reached(self) -> None:
        """Return when it is idle. Counted from now at the earliest: nobody can come before the sandbox is ready, and
        getting there may take a while."""
        while True:
            self._changed = anyio.Event()
            with anyio.move_on_after(None if self._serving else self._idle_s) as quiet:
                await self._changed.wait()
            if quiet.cancelled_caught and not self._serving:
                return

    def _count(self, more: int) -> None:
        self._serving += more
        self._changed.set()
