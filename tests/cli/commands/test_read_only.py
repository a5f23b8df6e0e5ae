"""Where nothing can be written, nothing is begun."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kits import REPOSITORY

SCENARIO = REPOSITORY / "scenarios" / "first.yaml"
SCRIPT = 'mount -t tmpfs -o ro tmpfs "$1" && shift && exec "$@"'


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_run_on_a_read_only_disk_is_refused_before_anything_is_begun(tmp_path: Path) -> None:
    runs, state = tmp_path / "runs", tmp_path / "state"
    runs.mkdir()
    command = [sys.executable, "-m", "offbus", "run", str(SCENARIO), "--runs", str(runs)]
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", SCRIPT, "sh", str(runs), *command],
        env=os.environ | {"XDG_STATE_HOME": str(state)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 3, done.stderr
    assert "Read-only file system" in done.stderr
    assert str(runs) in done.stderr
    assert "Traceback" not in done.stderr
    assert not state.exists(), "the environment was begun"
