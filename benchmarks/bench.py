"""`make bench`: offbus and Chaos Toolkit side by side, in one run on one machine, against the budgets.

Rounds of all subjects are interleaved, and what is compared is compared within a round; medians of the rounds are
told. The cost of a step is what a run of N steps takes longer than a run of one, divided by the steps between, so
that start-up is not in it. Writes benchmarks/results/latest.md.

    make bench                    everything, some ten minutes
    make bench ARGS=--quick       fewer rounds, and no run of 10,000 steps
"""

import argparse
import os
import platform
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks.stopping import stoppable
from benchmarks.subjects import ENGINES, cold_start, detectors, run_of, validation
from benchmarks.timing import Samples, fsync_ms, interleaved

RESULTS = Path(__file__).parent / "results" / "latest.md"
HELP_BUDGET_S = 0.12
VALIDATE_BUDGET_S = 0.30
CONFORMANCE_BUDGET_S = 1.0
STEP_BUDGET_S = 0.0002
"""Of a no-op step, journaled. An undo of its own is three more events, one of them fsynced, and an undo that is
played: its cost is told beside it."""
JUDGED_FROM = 1000
"""Steps. Nine steps more or less cost a millisecond, and starting Python varies by ten."""
PLAIN = "a no-op step"
WITH_UNDO = "a no-op step with an fsynced undo"
LINEAR_WITHIN = 1.5
"""A step of a long run may cost this many times what one of a shorter run costs and still count as linear."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    what: str
    ours: Samples
    peer: Samples
    budget_s: float | None = None
    note: str = ""
    """What else must be known of it."""
    judged: bool = True
    """False where the difference is smaller than what a start-up varies by: told, and no more."""

    def cells(self) -> list[str]:
        """As Markdown cells."""
        return [
            self.what,
            milliseconds(self.ours),
            f"{statistics.median(self.ours.cpu) * 1000:.3g} ms",
            milliseconds(self.peer),
            f"{self.peer.ratio(self.ours):.2g} ×" if self.judged else "",
            f"{self.budget_s * 1000:g} ms" if self.budget_s and self.judged else "",
            self._verdict(),
        ]

    def _verdict(self) -> str:
        if self.budget_s is None or not self.judged:
            return self.note
        return "ok" if self.ours.median <= self.budget_s else "**over**"


def milliseconds(samples: Samples) -> str:
    """Median, and what it ranged over."""
    low, high = samples.spread
    digits = 1 if samples.median >= 0.01 else 3
    return f"{samples.median * 1000:.{digits}f} ms ({low * 1000:.{digits}f} to {high * 1000:.{digits}f})"


def starting(folder: Path, rounds: int) -> Iterator[Row]:
    """Cold start and validation."""
    for what, subjects, budget in (
        ("`--help`, cold", cold_start(), HELP_BUDGET_S),
        ("`validate`, 20 steps, cold", validation(folder), VALIDATE_BUDGET_S),
        ("`conformance` of all faults, cold (beside the peer's `--help`)", detectors(), CONFORMANCE_BUDGET_S),
    ):
        taken = interleaved(subjects, rounds, folder)
        yield Row(what, taken["offbus"], taken["chaos toolkit"], budget)


def stepping(folder: Path, steps: int, rounds: int) -> Iterator[Row]:
    """What a step costs in a run of that many."""
    subjects = [run_of(folder, engine, count) for engine in ENGINES for count in (1, steps)]
    taken = interleaved(subjects, rounds, folder)
    cost = {engine: taken[f"{engine}/{steps}"].since(taken[f"{engine}/1"], steps - 1) for engine in ENGINES}
    plain, with_undo, peer = (cost[engine] for engine in ENGINES)
    judged = steps >= JUDGED_FROM
    yield Row(f"{PLAIN}, of {steps:,}", plain, peer, STEP_BUDGET_S, judged=judged)
    disk = f"one fsync: {fsync_ms(folder):.2f} ms"
    yield Row(f"{WITH_UNDO}, of {steps:,}", with_undo, peer, judged=judged, note=disk)


def machine() -> str:
    """What it was measured on, without saying whose machine it was."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {model or platform.machine()}, {os.cpu_count()} CPUs, "
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}, "
        f"offbus {version('offbus')}, Chaos Toolkit {version('chaostoolkit')}"
    )


def linear(rows: list[Row]) -> str:
    """Whether a step of the longest run costs what one of the run before does."""
    judged = [row for row in rows if row.judged]
    plain, with_undo = (
        [row for row in judged if row.what.startswith(f"{kind},")] for kind in (PLAIN, WITH_UNDO)
    )
    if len(plain) < 2:
        return "Whether it is linear was not measured."
    times = [longest.ours.median / before.ours.median for *_, before, longest in (plain, with_undo)]
    verdict = "ok" if max(times) <= LINEAR_WITHIN else "**over**"
    return (
        f"Linear: a step of the longest run costs {times[0]:.2f} × (with an undo {times[1]:.2f} ×) one of the run "
        f"before it: {verdict}."
    )


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds, no run of 10,000 steps")
    quick = parser.parse_args().quick
    plan = [(10, 5), (1000, 2)] if quick else [(10, 15), (1000, 5), (10_000, 3)]
    folder = Path(
        tempfile.mkdtemp(prefix="bench-", dir=Path(sys.prefix))
    )  # on the disk of the checkout, no tmpfs
    try:
        disk = [fsync_ms(folder)]
        rows = list(starting(folder, 5 if quick else 15))
        for steps, rounds in plan:
            rows += stepping(folder, steps, rounds)
            disk.append(fsync_ms(folder))
    finally:
        shutil.rmtree(folder)
    fsyncs = " to ".join(f"{one:.2f}" for one in (min(disk), max(disk)))
    report(f"{machine()}; append and fsync of 300 bytes: {fsyncs} ms", rows, keep=not quick)


def report(where: str, rows: list[Row], *, keep: bool) -> None:
    """Print the table; keep it when everything was measured."""
    head = ["", "offbus", "of it CPU", "Chaos Toolkit", "its time to ours", "budget", ""]
    table = [head, ["---"] * len(head), *(row.cells() for row in rows)]
    text = "\n".join("| " + " | ".join(cells) + " |" for cells in table)
    note = (
        "Medians of interleaved rounds, with the smallest and the largest; the ratio is taken round by round."
    )
    whole = f"# Benchmark\n\n{where}.\n\n{text}\n\n{linear(rows)}\n\n{note} `make bench` makes this file.\n"
    print(whole)
    if keep:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(whole)


if __name__ == "__main__":
    with stoppable():
        main()
