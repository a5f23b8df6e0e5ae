"""A node's folder that other users get to: pytest's own are closed to them."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kits.agent.fixtures import agents, node

__all__ = ["agents", "node"]


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Removed at the end."""
    with tempfile.TemporaryDirectory(prefix="offbus-node-") as made:
        Path(made).chmod(0o755)
        yield Path(made)
