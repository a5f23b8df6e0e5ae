"""Times commands: the whole process, start to end, as a user waits for it, and the CPU time that it took."""

import os
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Samples", "Subject", "fsync_ms", "interleaved"]


@dataclass(frozen=True, slots=True)
class Subject:
    """One thing that is measured."""

    name: str
    command: Sequence[str]

    def run(self, folder: Path) -> tuple[float, float]:
        """Run it once: wall-clock and CPU seconds, children included.

        Raises SystemExit with its output when it fails: a failed run has no time.
        """
        with (folder / "output").open("w+b") as output:
            begun = time.perf_counter()
            process = subprocess.Popen(
                self.command,
                cwd=folder,
                env=environment(folder),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            try:
                _, status, usage = os.wait4(process.pid, 0)
            except BaseException:
                process.kill()
                process.wait()
                raise
            wall = time.perf_counter() - begun
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode != 0:
                output.seek(0)
                tail = output.read().decode(errors="replace")[-2000:]
                raise SystemExit(f"bench: {' '.join(self.command)} ended with {process.returncode}:\n{tail}")
        return wall, usage.ru_utime + usage.ru_stime


@dataclass(frozen=True, slots=True)
class Samples:
    """Repeated measurements, in seconds; the nth of one subject was taken beside the nth of every other."""

    wall: Sequence[float]
    cpu: Sequence[float]

    @property
    def median(self) -> float:
        """The median of the wall-clock times."""
        return statistics.median(self.wall)

    @property
    def spread(self) -> tuple[float, float]:
        """The smallest and the largest wall-clock time."""
        return min(self.wall), max(self.wall)

    def since(self, shorter: "Samples", parts: int) -> "Samples":
        """What each part costs by which this is longer, round by round: what slows a round slows both."""
        wall = [(mine - its) / parts for mine, its in zip(self.wall, shorter.wall, strict=True)]
        cpu = [(mine - its) / parts for mine, its in zip(self.cpu, shorter.cpu, strict=True)]
        return Samples(wall, cpu)

    def ratio(self, other: "Samples") -> float:
        """How many times as long as the other, as the median of the rounds."""
        return statistics.median(mine / its for mine, its in zip(self.wall, other.wall, strict=True))


def environment(folder: Path) -> Mapping[str, str]:
    """A home without anybody's settings, and the same surroundings for every subject."""
    return {"HOME": str(folder), "PATH": os.environ["PATH"], "LANG": "C.UTF-8", "PYTHONWARNINGS": "ignore"}


def interleaved(subjects: Sequence[Subject], rounds: int, folder: Path) -> dict[str, Samples]:
    """Run all subjects in turn, `rounds` times, after one round that only warms the caches."""
    for subject in subjects:
        subject.run(folder)
    taken: dict[str, list[tuple[float, float]]] = {subject.name: [] for subject in subjects}
    for number in range(rounds):
        for subject in subjects if number % 2 == 0 else reversed(subjects):
            taken[subject.name].append(subject.run(folder))
    return {name: Samples(*zip(*values, strict=True)) for name, values in taken.items()}


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
