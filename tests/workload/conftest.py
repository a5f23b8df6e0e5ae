"""Fixtures of the workload's tests."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.kits.workload.workload_world import Node


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with ExitStack() as programs:
        yield Node(tmp_path, programs)
