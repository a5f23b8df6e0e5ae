"""Fixtures of the responder's tests: a sandbox without its own responder."""

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import anyio
import pytest

from offbus_sandbox.adapter.port import LocalPort
from offbus_sandbox.config import SandboxConfig
from offbus_sandbox.layout import Layout
from offbus_sandbox.local.launch import start, stop
from tests.kits.responder.responder_world import Cluster


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def layout(tmp_path: Path) -> Iterator[Layout]:
    """A sandbox of two nodes with two GPUs, without agents and without a responder of its own."""
    made = Layout.of(tmp_path / "s")
    config = SandboxConfig(nodes=2, gpus_per_node=2, agents=False, responder=None)
    anyio.run(start, made, config)
    try:
        yield made
    finally:
        anyio.run(stop, made)


@pytest.fixture
async def cluster(layout: Layout) -> AsyncIterator[Cluster]:
    """The cluster, with programs that end before it does."""
    with ExitStack() as programs:
        async with LocalPort(layout.api) as port:
            yield Cluster(layout, port, programs)
            programs.close()
