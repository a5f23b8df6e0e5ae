"""Engine tests play drills in a world of their own, on virtual time."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.kits.engine.killed_run import killed_run
from tests.kits.engine.player import Drill


@pytest.fixture
def drill(tmp_path: Path) -> Callable[..., Drill]:
    """Make a drill from the YAML of its steps."""

    def make(steps: str, head: str = "", **more: Any) -> Drill:
        lines = (f"  - {line.strip()}" for line in steps.strip().splitlines())
        return Drill(tmp_path, "\n".join(lines) + "\n", head, **more)

    return make


@pytest.fixture
def killed(drill: Callable[..., Drill]) -> Any:
    """A run that was killed when its undo began: (the drill, the run's folder, the journal's lines)."""
    return killed_run(drill)
