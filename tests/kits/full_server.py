"""A TCP server that takes no connection any more: who connects to it waits."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["full_server"]


@contextmanager
def full_server() -> Iterator[int]:
    """Its port on loopback; its queue is full."""
    with socket.socket() as listening, socket.socket() as waiting:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        waiting.connect(listening.getsockname())
        yield int(listening.getsockname()[1])
