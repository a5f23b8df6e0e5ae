"""uvicorn for our programs: without its own signal handlers, because our programs have theirs.

The only module that uses undocumented parts of uvicorn (decision 0014):

- `Server.capture_signals` is overridden: no setting turns signal handling off. Without it uvicorn would handle our
  programs' signals and raise them again at the end, so that they would not exit with 0.
- `Server.startup` is overridden: nothing else reports when requests are served. Without it no program would report
  that it is ready, and its starter would time out.
- `Config.ssl` is set after `Config.load()`: uvicorn reads certificates only from files, and ours is never written to
  one. (0.48 has `ssl_context_factory`, which can replace this once no older version is supported.) Without it the
  webhook would speak plain HTTP, and the API server's calls to it would fail.
"""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from offbus_agent.http.connections import PENDING

__all__ = ["OwnSignals"]


class OwnSignals(uvicorn.Server):
    """A uvicorn server that leaves signals to its program."""

    def __init__(self, config: uvicorn.Config, tls: ssl.SSLContext | None = None) -> None:
        """Serve by `config`, and with `tls` set, by TLS."""
        if tls is not None:
            config.load()
            config.ssl = tls
        super().__init__(config)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then report it."""
        await super().startup(sockets)
        for sock in sockets or ():
            sock.listen(PENDING)  # asyncio lets no more wait than it accepts in one go
        self.on_started()

    def on_started(self) -> None:
        """Called once requests are served, or when the start has failed (`should_exit`)."""

    def stop(self) -> None:
        """Ask the server to end."""
        self.should_exit = True
