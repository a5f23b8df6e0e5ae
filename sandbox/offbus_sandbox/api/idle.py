"""Tells when nobody has used the sandbox for a while: a runner that was killed must not leave it for ever."""

import asyncio
from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["IdleTimer"]


class IdleTimer:
    """Counts requests that are being served (a watch is one for its whole life)."""

    def __init__(self, idle_s: float, expired: Callable[[], None]) -> None:
        """`expired` is called once after `idle_s` seconds without a request, counted from `start`."""
        self._idle_s = idle_s
        self._expired = expired
        self._serving = 0
        self._started = False
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to count: nobody can come before the sandbox is ready, and getting there may take a while."""
        self._started = True
        if self._serving == 0:
            self._rest()

    def counting(self, app: ASGIApp) -> ASGIApp:
        """`app`, with its requests counted."""

        async def counted(scope: Scope, receive: Receive, send: Send) -> None:
            self._begin()
            try:
                await app(scope, receive, send)
            finally:
                self._end()

        return counted

    def stop(self) -> None:
        """Expire no more."""
        if self._timer:
            self._timer.cancel()

    def _begin(self) -> None:
        self._serving += 1
        self.stop()

    def _end(self) -> None:
        self._serving -= 1
        if self._serving == 0 and self._started:
            self._rest()

    def _rest(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._idle_s, self._expired)
