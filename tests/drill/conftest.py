"""Drill tests play whole scenarios on the embedded environment, with the real command in a process of its own."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kits.drill.drill_world import processes_below
from tests.kits.drill.playing import Offbus


@pytest.fixture
def offbus(tmp_path: Path) -> Iterator[Offbus]:
    """The command; whatever sandbox a test leaves running is ended after it."""
    command = Offbus(tmp_path)
    yield command
    command.call("local", "down")
    for survivor in processes_below(tmp_path):
        os.kill(survivor, signal.SIGKILL)
