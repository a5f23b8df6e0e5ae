"""The fleet's benchmark takes down its API server, etcd, kwok and its watchers when it is stopped."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kits import REPOSITORY
from tests.kits.cluster.programs import KWOK, build
from tests.kits.drill.drill_world import processes_below
from tests.kits.watching import wait_until

WATCHDOG_S = 120
SMALL = ("--nodes", "3", "--pods", "3", "--seconds", "600")


@pytest.fixture(scope="module")
def player() -> None:
    """kwok, built: minutes, once."""
    build(KWOK)


@pytest.mark.usefixtures("server", "player")
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("once", ["3 of 3 nodes written", "all of it ready"])
def test_it_leaves_no_process(tmp_path: Path, number: int, once: str) -> None:
    said = tmp_path / "said"
    with (
        said.open("wb") as err,
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.fleet", *SMALL],
            cwd=REPOSITORY,
            env=os.environ | {"TMPDIR": str(tmp_path)},
            stdin=subprocess.DEVNULL,
            stdout=err,
            stderr=err,
        ) as started,
    ):
        try:
            wait_until(tmp_path, lambda: once in said.read_text() or started.poll() is not None)
            assert len(processes_below(tmp_path)) >= 4, said.read_text()
            started.send_signal(number)
            assert started.wait(WATCHDOG_S) == 128 + number, said.read_text()
        finally:
            started.kill()
        assert processes_below(tmp_path) == []
        assert [one.name for one in tmp_path.iterdir()] == ["said"]
