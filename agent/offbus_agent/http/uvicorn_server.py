"""uvicorn for programs of ours: quiet, and without signal handlers of its own, for their programs have theirs.

The only module that uses parts of uvicorn that its documentation does not name (decision 0014):

- `Server.capture_signals` is overridden: no setting leaves signals alone. Without it uvicorn would take our programs'
  signals and raise them again at the end, so that they would not exit with 0.
- `Server.startup` is overridden: nothing else says when requests are answered. Without it no program would say that it
  is ready, and who started it would wait in vain.
- `Config.ssl` is set after `Config.load()`: uvicorn read certificates from files alone, and ours is never written to
  one. (0.48 has `ssl_context_factory`, which can replace this once no older version is supported.) Without it
  the webhook would speak plain HTTP, and the API server's calls of it would fail.
"""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

__all__ = ["OwnSignals"]


class OwnSignals(uvicorn.Server):
    """Leaves signals to its program: uvicorn would raise them again at the end, and not exit with 0."""

    def __init__(self, config: uvicorn.Config, tls: ssl.SSLContext | None = None) -> None:
        """Serve as `config` says, and, with a certificate, by TLS."""
        if tls is not None:
            config.load()
            config.ssl = tls
        super().__init__(config)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then tell."""
        await super().startup(sockets)
        self.on_started()

    def on_started(self) -> None:
        """Called once requests are answered, or when it is clear that none will be (`should_exit`)."""

    def stop(self) -> None:
        """Ask for the end."""
        self.should_exit = True
