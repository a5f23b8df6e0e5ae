"""Fixtures of the workload's tests."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from workload_world import Node


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with ExitStack() as programs:
        yield Node(tmp_path, programs)
