"""Serves an ASGI application until it is stopped: SIGTERM drains, as Kubernetes expects.

On SIGTERM or SIGINT the socket closes, requests in flight may finish within `drain_s`, then `serve` returns. The
program itself calls `stop` for the same, with a shorter time if it wants. A port that cannot be bound ends the process
with uvicorn's message. Must not: choose exit codes.
"""

import asyncio
import logging
import os
import signal

import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from offbus_agent.http.uvicorn_server import OwnSignals

__all__ = ["Server", "live"]

_log = logging.getLogger(__name__)


async def live(_: Request) -> Response:
    """`GET /live`: the event loop runs."""
    return JSONResponse({"status": "live"})


class Server:
    """One server, on the pod's own address (in a cluster on all its addresses), else on loopback.

    Make it inside the event loop.
    """

    def __init__(self, app: ASGIApp, port: int, *, drain_s: int) -> None:
        in_cluster = "KUBERNETES_SERVICE_HOST" in os.environ
        config = uvicorn.Config(
            app,
            host=os.environ.get("POD_IP") or ("0.0.0.0" if in_cluster else "127.0.0.1"),
            port=port,
            log_level="warning",
            access_log=False,
            lifespan="off",
            ws="none",
            timeout_graceful_shutdown=drain_s,
        )
        self._server = _Server(config)

    async def serve(self) -> None:
        """Serve until stopped."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        await self._server.serve()

    def stop(self, *, patience_s: int | None = None) -> None:
        """Stop soon; requests in flight may take `patience_s`, else the drain time."""
        if patience_s is not None:
            self._server.config.timeout_graceful_shutdown = patience_s
        self._server.stop()


class _Server(OwnSignals):
    """Logs when it listens."""

    def on_started(self) -> None:
        if not self.should_exit:
            _log.info("serving on %s:%d", self.config.host, self.config.port)
