"""Times commands. Wall-clock time of the whole process, start to end, as a user waits for it."""

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Samples", "Subject", "fsync_ms", "interleaved"]


@dataclass(frozen=True, slots=True)
class Subject:
    """One thing that is measured."""

    name: str
    command: Sequence[str]

    def seconds(self, folder: Path) -> float:
        """Run it once. Raises SystemExit with its output when it fails: a failed run has no time."""
        begun = time.perf_counter()
        done = subprocess.run(
            self.command,
            check=False,
            cwd=folder,
            env=environment(folder),
            stdin=subprocess.DEVNULL,
            capture_output=True,
        )
        took = time.perf_counter() - begun
        if done.returncode != 0:
            tail = (done.stdout + done.stderr).decode(errors="replace")[-2000:]
            raise SystemExit(f"bench: {' '.join(self.command)} ended with {done.returncode}:\n{tail}")
        return took


@dataclass(frozen=True, slots=True)
class Samples:
    """Repeated measurements, in seconds; the nth of one subject was taken beside the nth of every other."""

    values: Sequence[float]

    @property
    def median(self) -> float:
        """The median."""
        return statistics.median(self.values)

    @property
    def spread(self) -> tuple[float, float]:
        """The smallest and the largest."""
        return min(self.values), max(self.values)

    def paired(self, other: "Samples", combine: Callable[[float, float], float]) -> "Samples":
        """Combined pair by pair, so that what slows the machine for a while slows both sides."""
        return Samples([combine(mine, its) for mine, its in zip(self.values, other.values, strict=True)])


def environment(folder: Path) -> Mapping[str, str]:
    """A home without anybody's settings, and the same surroundings for every subject."""
    return {"HOME": str(folder), "PATH": os.environ["PATH"], "LANG": "C.UTF-8", "PYTHONWARNINGS": "ignore"}


def interleaved(subjects: Sequence[Subject], rounds: int, folder: Path) -> dict[str, Samples]:
    """Run all subjects in turn, `rounds` times, after one round that only warms the caches."""
    for subject in subjects:
        subject.seconds(folder)
    taken: dict[str, list[float]] = {subject.name: [] for subject in subjects}
    for number in range(rounds):
        for subject in subjects if number % 2 == 0 else reversed(subjects):
            taken[subject.name].append(subject.seconds(folder))
    return {name: Samples(values) for name, values in taken.items()}


def fsync_ms(folder: Path, times: int = 200) -> float:
    """What one small append with fsync costs on the disk that is measured on, in milliseconds (median)."""
    taken = []
    with (folder / "fsync").open("ab", buffering=0) as file:
        for _ in range(times):
            begun = time.perf_counter()
            file.write(b"x" * 300)
            os.fsync(file.fileno())
            taken.append(time.perf_counter() - begun)
    return statistics.median(taken) * 1000
