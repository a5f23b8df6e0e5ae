"""Follows a run's journal as it is written, so that a test strikes exactly when an event is in it."""

import os
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import anyio

from offbus.journal.codec import decode
from tests.kits.drill.playing import SCENARIOS, Offbus
from tests.kits.watching import watch_until

__all__ = ["follow", "reach", "run_until"]

Runner = subprocess.Popen[str]


XID79 = SCENARIOS / "xid79.yaml"


def run_until(
    offbus: Offbus, kind: str, word: str = "", scenario: Path = XID79
) -> tuple[Runner, Iterator[str]]:
    """Start the drill; its process and the rest of its journal, once the event is in it."""
    runner, lines = follow(offbus, "run", scenario, "--view", "quiet")
    reach(lines, kind, word)
    return runner, lines


def reach(lines: Iterator[str], kind: str, word: str = "") -> None:
    """Read on until an event of that kind, with that word in it."""
    for line in lines:
        if decode(line.encode())["kind"] == kind and word in line:
            return
    raise AssertionError(f"the run ended without {kind} {word}")


def follow(offbus: Offbus, *arguments: str | Path) -> tuple[Runner, Iterator[str]]:
    """Start a run; its process, and the lines of its journal as they are written. Folder and file are watched."""
    offbus.runs.mkdir(parents=True, exist_ok=True)
    known = set(offbus.runs.iterdir())
    runner = offbus.start(*arguments)
    folder = anyio.run(partial(_new_folder, offbus.runs, known, runner))
    return runner, _lines(folder / "journal.jsonl", runner)


def _lines(journal: Path, runner: Runner) -> Iterator[str]:
    command = ["tail", "-q", "-n", "+1", "--retry", "-F", f"--pid={runner.pid}", str(journal)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as tail:
        assert tail.stdout is not None
        yield from tail.stdout
        tail.kill()


async def _new_folder(runs: Path, known: set[Path], runner: Runner) -> Path:
    async with anyio.create_task_group() as beside:
        beside.start_soon(_fail_when_ended, runner)
        await watch_until(runs, lambda: bool(_fresh(runs, known)))
        beside.cancel_scope.cancel()
    return _fresh(runs, known)[0]


def _fresh(runs: Path, known: set[Path]) -> list[Path]:
    return [path for path in runs.iterdir() if path not in known and path.name[0] != "."]


async def _fail_when_ended(runner: Runner) -> None:
    process = os.pidfd_open(runner.pid)
    try:
        await anyio.wait_readable(process)
    finally:
        os.close(process)
    raise AssertionError(f"the run ended before it began: {runner.communicate()}")
