"""The way from a lone API server to addresses that no machine has: pods, Services and kubelets of the tests.

The API server dials them itself, and refuses loopback as a pod's address. So it is told to reach the cluster's network
through a proxy (its EgressSelectorConfiguration), which is this one: HTTP CONNECT on a Unix socket, answered by threads
of the test's process. What an address leads to is a socket of this machine.
"""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingUnixStreamServer

__all__ = ["Tunnel", "tunnel"]

Where = Path | tuple[str, int]
"""A Unix socket, or host and port."""
CHUNK = 1 << 16


@dataclass
class Tunnel:
    """`leads["10.9.0.1:8083"] = Path("agent.sock")`; an address that leads nowhere is refused, as a closed port is."""

    folder: Path
    leads: dict[str, Where] = field(default_factory=dict)

    @property
    def socket(self) -> Path:
        """Where the API server asks for it."""
        return self.folder / "tunnel.sock"

    @property
    def flag(self) -> str:
        """The API server's option; its file is written here."""
        connection = {"proxyProtocol": "HTTPConnect", "transport": {"uds": {"udsName": str(self.socket)}}}
        config = {
            "apiVersion": "apiserver.k8s.io/v1beta1",
            "kind": "EgressSelectorConfiguration",
            "egressSelections": [{"name": "cluster", "connection": connection}],
        }
        path = self.folder / "egress.json"
        path.write_text(json.dumps(config))
        return f"--egress-selector-config-file={path}"


@contextmanager
def tunnel(folder: Path) -> Iterator[Tunnel]:
    """While the block runs."""
    made = Tunnel(folder)

    class Asked(StreamRequestHandler):
        """One CONNECT, and all that passes after it."""

        def handle(self) -> None:
            wanted = self.rfile.readline().split()[1].decode()
            while self.rfile.readline().strip():
                pass  # the headers
            try:
                there = connected(made.leads.get(wanted))
            except OSError:
                self.wfile.write(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
                return
            with there:
                self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
                back = threading.Thread(target=passed_on, args=(there, self.connection), daemon=True)
                back.start()
                passed_on(self.connection, there)
                back.join()

    with ThreadingUnixStreamServer(str(made.socket), Asked) as server:
        server.daemon_threads = True
        server.block_on_close = False
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield made
        finally:
            server.shutdown()


def connected(to: Where | None) -> socket.socket:
    """Raises OSError when nothing listens there."""
    if to is None:
        raise ConnectionRefusedError
    if isinstance(to, tuple):
        return socket.create_connection(to)
    there = socket.socket(socket.AF_UNIX)
    there.connect(str(to))
    return there


def passed_on(source: socket.socket, to: socket.socket) -> None:
    """One direction, until its end."""
    with suppress(OSError):
        while chunk := source.recv(CHUNK):
            to.sendall(chunk)
    with suppress(OSError):
        to.shutdown(socket.SHUT_WR)
