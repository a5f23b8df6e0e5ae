"""The agent's listening socket.

Job: bind a Unix socket or a TCP port before anything else is changed, so that a port in use is detected at once. A
dead agent's Unix socket is replaced; one that accepts connections is not. Failures are `ListenError`, and those of
accept(2) later are logged.
"""

import asyncio
import logging
import os
import socket
from pathlib import Path
from typing import Any

from offbus_agent.http.connections import PENDING

__all__ = ["ListenError", "listen_tcp", "listen_unix", "log_accept_errors_rarely", "name_of"]

_LONGEST_PATH = 107
"""sun_path has 108 bytes with its NUL (unix(7))."""
_ACCEPT_ERRORS_EVERY_S = 60.0
_log = logging.getLogger(__name__)


class ListenError(Exception):
    """Raised when the agent cannot listen; the message says why and what to do."""


def listen_tcp(host: str, port: int) -> socket.socket:
    """A listening TCP socket; port 0: any free one. Raises ListenError."""
    try:
        return socket.create_server((host, port), backlog=PENDING)
    except (OSError, OverflowError) as err:
        raise ListenError(
            f"cannot listen on {host}:{port}: {err}; choose another --port, or stop the program that uses it"
        ) from err


def listen_unix(path: Path) -> socket.socket:
    """A listening Unix socket at `path`, mode 0600. Raises ListenError."""
    if len(os.fsencode(path)) > _LONGEST_PATH:
        raise ListenError(
            f"the socket path {path} is longer than {_LONGEST_PATH} bytes; choose a shorter --uds"
        )
    _remove_stale(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        sock.bind(str(path))
        sock.listen(PENDING)
    except OSError as err:
        sock.close()
        raise ListenError(f"cannot listen on {path}: {err.strerror}") from err
    finally:
        os.umask(before)
    return sock


def name_of(sock: socket.socket) -> str:
    """The address in readable form: http://HOST:PORT or unix:PATH."""
    address = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return f"unix:{address}"
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    return f"http://{host}:{address[1]}"


def log_accept_errors_rarely(loop: asyncio.AbstractEventLoop) -> None:
    """Log the failures of accept(2) once a minute: asyncio reports each, and tries AT_ONCE times a second."""
    silent_until = 0.0

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        nonlocal silent_until
        if "accept()" not in context.get("message", ""):
            loop.default_exception_handler(context)
        elif loop.time() >= silent_until:
            silent_until = loop.time() + _ACCEPT_ERRORS_EVERY_S
            _log.error("no connection can be accepted: %s", context.get("exception"))

    loop.set_exception_handler(handle)


def _remove_stale(path: Path) -> None:
    if not path.is_socket():
        if path.exists():
            raise ListenError(f"{path} exists and is not a socket; choose another --uds")
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            path.unlink(missing_ok=True)
            return
    raise ListenError(f"another program listens on {path}; stop it, or choose another --uds")
