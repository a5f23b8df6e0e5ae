"""Tests of steps may import the helper modules beside them; what waits is tested on both event loops."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """The loops that the engine runs on."""
    return str(request.param)
