"""The port's HTTP server, on a socket for clients and one for the sandbox's own programs; its errors as responses."""

import os
import socket
from pathlib import Path

import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from offbus_agent.http.uvicorn_server import OwnSignals
from offbus_sandbox.adapter.wire import status_of
from offbus_steps.port import PortError

__all__ = ["Server", "listen", "on_port_error"]

BACKLOG = 128
LAST_REQUESTS_S = 2
"""How long requests in flight may take when the server ends."""


class Server(OwnSignals):
    """uvicorn without its own signal handlers: the supervisor ends it."""

    def __init__(self, app: ASGIApp) -> None:
        """Serve `app`; `serve(sockets=[listen(path)])` runs until `should_exit`."""
        config = uvicorn.Config(
            app,
            lifespan="off",
            log_config=None,
            access_log=False,
            ws="none",
            timeout_graceful_shutdown=LAST_REQUESTS_S,
        )
        super().__init__(config)


async def on_port_error(_request: Request, err: Exception) -> Response:
    """The response for an error of the port: a Kubernetes `Status`."""
    assert isinstance(err, PortError)  # noqa: S101  # it is registered for these
    status = status_of(err)
    return JSONResponse(status, status_code=int(status["code"]))


def listen(path: Path) -> socket.socket:
    """A listening Unix socket for its owner only; a dead supervisor's is replaced (the caller holds the lock)."""
    path.unlink(missing_ok=True)
    before = os.umask(0o177)
    try:
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(path))
        listening.listen(BACKLOG)
    finally:
        os.umask(before)
    path.chmod(0o700)
    return listening
