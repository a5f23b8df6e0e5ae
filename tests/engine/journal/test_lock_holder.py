"""Who holds a run is asked of the kernel: the lock file only says who took it, and anybody who reads it can hold it."""

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pytest

from offbus.errors import CouldNotRun
from offbus.journal.lock import Holder, boot_id, process_started
from offbus.open_run import opened
from offbus.runs import RunFolder
from offbus.stop import asked_to_stop

HOLDS = """
import os, signal, sys
from pathlib import Path
from offbus.open_run import opened
from offbus.runs import RunFolder
with RunFolder(Path(sys.argv[1])).lock():
    print("held", flush=True)
    signal.pause()
"""
SLEEPS = "import signal; print('there', flush=True); signal.pause()"


@contextmanager
def process(code: str, *arguments: str) -> "Iterator[subprocess.Popen[bytes]]":
    """A process, once it has said that it is there."""
    with subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE) as one:
        try:
            assert one.stdout is not None
            assert one.stdout.readline()
            yield one
        finally:
            one.kill()


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    (tmp_path / "x-0123abcd").mkdir(mode=0o700)
    return RunFolder(tmp_path / "x-0123abcd")


def name_as_holder(folder: RunFolder, pid: int) -> Path:
    """Whoever packed the folder can: everything is in /proc, which every user may read."""
    lock = folder.path / "lock"
    started = process_started(pid) or 0
    who = Holder("ci", socket.gethostname(), boot_id(), pid, started, "run")
    lock.write_text(json.dumps(asdict(who)))
    return lock


def test_the_process_that_holds_the_run_is_asked(folder: RunFolder) -> None:
    with process(HOLDS, str(folder.path)) as runner:
        with opened(folder) as run, asked_to_stop(run) as asked:
            assert asked is not None
        assert runner.wait(60) == -signal.SIGTERM


@pytest.mark.guarantee("G17")
def test_a_process_that_does_not_hold_the_lock_is_not_signalled(folder: RunFolder) -> None:
    """Somebody else holds it, through a descriptor that only reads, as a user may who cannot write the folder."""
    with process(SLEEPS) as bystander:
        lock = name_as_holder(folder, bystander.pid)
        with lock.open("rb") as reading:
            fcntl.flock(reading, fcntl.LOCK_EX)
            assert folder.in_use()
            with (
                opened(folder) as run,
                pytest.raises(CouldNotRun, match="does not hold"),
                asked_to_stop(run),
            ):
                pass
        assert bystander.poll() is None


@pytest.mark.parametrize("mode", [os.O_RDONLY, os.O_RDWR], ids=["reads", "writes"])
def test_who_was_handed_a_descriptor_that_only_reads_does_not_hold_the_run(
    folder: RunFolder, mode: int
) -> None:
    """Descriptors go from one process to another (SCM_RIGHTS, inheritance), their locks with them."""
    (folder.path / "lock").touch()
    descriptor = os.open(folder.path / "lock", mode)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with subprocess.Popen(
        [sys.executable, "-c", SLEEPS], stdout=subprocess.PIPE, pass_fds=[descriptor]
    ) as heir:
        try:
            assert heir.stdout is not None
            assert heir.stdout.readline()
            lock = name_as_holder(folder, heir.pid)
            os.close(descriptor)
            assert folder.holder is not None
            assert folder.holder.holds(lock.lstat()) is (mode == os.O_RDWR)
            assert folder.in_use()
        finally:
            heir.kill()


def test_a_process_that_has_ended_holds_nothing(folder: RunFolder) -> None:
    with process(SLEEPS) as ended:
        lock = name_as_holder(folder, ended.pid)
        ended.kill()
        ended.wait()
        assert folder.holder is not None
        assert not folder.holder.holds(lock.lstat())
