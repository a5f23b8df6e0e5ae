"""A benchmark that is stopped takes down what it has started: whoever gives up on it finds the machine as it was."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kits.drill.drill_world import processes_below
from tests.kits.watching import wait_until

WATCHDOG_S = 60
SIGNALS = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
MEASURES = """
from pathlib import Path
from benchmarks.stopping import stoppable
from benchmarks.timing import Subject

with stoppable():
    Subject("long", ["sh", "-c", "touch begun; exec sleep 600"]).run(Path.cwd())
"""
STARTS_ONE_AND_ANOTHER = """
import subprocess, sys
from pathlib import Path
from benchmarks.stopping import stoppable

with stoppable():
    subprocess.Popen(["sleep", "600"], start_new_session=True)
    try:
        Path("begun").touch()
        subprocess.Popen(["sleep", "600"]).wait()
    finally:
        Path("ended").touch()
"""


def stopped(folder: Path, repository: Path, program: str, number: int, *options: str) -> int:
    """What it exits with that gets a signal once it has begun."""
    with subprocess.Popen(
        [sys.executable, *options, program],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(repository)},
        stdin=subprocess.DEVNULL,
    ) as started:
        try:
            wait_until(folder, (folder / "begun").exists)  # a program that fails before is a timeout
            started.send_signal(number)
            return started.wait(WATCHDOG_S)
        finally:
            started.kill()


@SIGNALS
@pytest.mark.parametrize("program", [MEASURES, STARTS_ONE_AND_ANOTHER], ids=["a subject", "more of them"])
def test_what_it_started_ends_with_it(tmp_path: Path, repository: Path, program: str, number: int) -> None:
    assert stopped(tmp_path, repository, program, number, "-c") == 128 + number
    assert processes_below(tmp_path) == []
    assert (tmp_path / "ended").exists() == (program is STARTS_ONE_AND_ANOTHER), "its own end comes first"


def test_a_signal_that_is_ignored_stays_so(tmp_path: Path, repository: Path) -> None:
    """nohup."""
    program = STARTS_ONE_AND_ANOTHER.replace(
        'Path("begun").touch()',
        "import os, signal; os.kill(os.getpid(), signal.SIGHUP); Path('begun').touch()",
    )
    ignoring = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n" + program
    assert stopped(tmp_path, repository, ignoring, signal.SIGTERM, "-c") == 128 + signal.SIGTERM


def test_every_benchmark_can_be_stopped(repository: Path) -> None:
    programs = [one for one in (repository / "benchmarks").glob("*.py") if "__main__" in one.read_text()]
    assert len(programs) >= 5
    for one in programs:
        assert '\nif __name__ == "__main__":\n    with stoppable():\n' in one.read_text(), one
