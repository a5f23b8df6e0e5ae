"""The one place where the responder gets its port: today the local supervisor's socket.

A cluster's adapter will be chosen here, by another form of the argument. Raises what the adapter raises when
it cannot connect. Must not: be imported by anything but the programs' entry point.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from offbus_steps.port import Port

__all__ = ["connect"]


@asynccontextmanager
async def connect(api: Path) -> AsyncIterator[Port]:
    """The port behind a Unix socket."""
    from offbus_sandbox.adapter import LocalPort

    async with LocalPort(api) as port:
        yield port
