"""Tests of steps may import the helper modules beside them; what waits is tested on both event loops."""

from collections.abc import Iterator

import anyio
import pytest

from offbus_sandbox.layout import Layout
from offbus_sandbox.local.launch import start, stop


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """The loops that the engine runs on."""
    return str(request.param)


@pytest.fixture(scope="module")
def sandbox(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Layout]:
    """A sandbox for all tests of a module, as its `SANDBOX` says."""
    layout = Layout.of(tmp_path_factory.mktemp("sandbox"))
    anyio.run(start, layout, request.module.SANDBOX)
    try:
        yield layout
    finally:
        anyio.run(stop, layout)
