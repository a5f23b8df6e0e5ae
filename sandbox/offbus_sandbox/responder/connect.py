"""Opens the responder's port: the local supervisor's socket, or the cluster that it runs in.

Raises what the adapter raises when it cannot connect. Must not: be imported by anything but the programs' entry point.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from offbus_steps.port import Port

__all__ = ["KUBERNETES", "connect"]

KUBERNETES = Path("kubernetes")
"""Selects the cluster: by the pod's service account, or kubectl's current context."""


@asynccontextmanager
async def connect(api: Path) -> AsyncIterator[Port]:
    """The port behind a Unix socket, or that of a Kubernetes cluster."""
    if api == KUBERNETES:
        from offbus_steps.kubernetes.port import open_port
        from offbus_steps.kubernetes.rest.connection import Login

        async with open_port(Login()) as cluster:
            yield cluster
        return
    from offbus_sandbox.adapter.port import LocalPort

    async with LocalPort(api) as port:
        yield port
