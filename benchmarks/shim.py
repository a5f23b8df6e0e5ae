"""`make bench-shim`: what the shim costs a call, beside the bare call and a preload object that opens a file a call.

All subjects are timed in turn, round by round, in one run: the fastest of 61 batches, then the median of the rounds.
Instructions (of user space) are counted by single steps. The driver is the stand-in, which answers the call in a
nanosecond or two. Prints Markdown.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

from benchmarks.stopping import stoppable
from offbus_agent.page.control import CallClass, ControlPage, EventsPage, Slot
from offbus_agent.page.native_library import SHIM, library, standin_dir

HERE = Path(__file__).parent
GPUS = ("GPU-00000000-0000-0000-0000-000000000001", "GPU-00000000-0000-0000-0000-000000000002")
CALL_BUDGET_NS = 1.0
START_BUDGET_US = 300.0
FAULTED = CallClass.SYNC

__all__ = ["main", "measure"]

Environments = dict[str, dict[str, str]]


def prepare(folder: Path) -> Environments:
    """Compile, make a page and GPUs; the environment of each subject."""
    cuda = standin_dir() / "libcuda.so.1"
    compiler = os.environ.get("CC") or "cc"
    flags = [compiler, "-O2", "-D_GNU_SOURCE"]
    calls, peer = HERE / "shim_calls.c", HERE / "shim_peer.c"
    subprocess.run([*flags, "-o", folder / "calls", calls, cuda], check=True)
    subprocess.run([*flags, "-shared", "-fPIC", "-o", folder / "peer.so", peer], check=True)
    lines = (f"{gpu} 0000:{n + 1:02x}:00.0 1073741824 stand-in\n" for n, gpu in enumerate(GPUS))
    (folder / "gpus").write_text("".join(lines), encoding="ascii")
    bare = {
        "PATH": os.environ["PATH"],
        "LD_LIBRARY_PATH": str(standin_dir()),
        "OFFBUS_STANDIN_GPUS": str(folder / "gpus"),
    }
    return {
        "bare": bare,
        "shim": {**bare, "LD_PRELOAD": str(library(SHIM)), "OFFBUS_PAGE_DIR": str(folder)},
        "file-opening": {**bare, "LD_PRELOAD": str(folder / "peer.so")},
    }


def number(folder: Path, environment: Mapping[str, str], *arguments: str) -> float:
    """What the C program prints."""
    command: list[str | Path] = [folder / "calls", *arguments]
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True
    )
    return float(done.stdout)


def timed(folder: Path, subjects: Environments, rounds: int, *arguments: str) -> dict[str, list[float]]:
    """Nanoseconds of each subject, its nth beside the nth of every other."""
    taken: dict[str, list[float]] = {name: [] for name in subjects}
    for _ in range(rounds):
        for name, environment in subjects.items():
            # The file-opening hook takes thousands of times as long: fewer calls tell as much of it.
            told = [
                str(max(1, int(word) // 500)) if word.isdigit() and name == "file-opening" else word
                for word in arguments
            ]
            taken[name].append(number(folder, environment, *told))
    return taken


def added(taken: Mapping[str, Sequence[float]], name: str) -> float:
    """By how much a subject is slower than the bare call: the median of the rounds."""
    return statistics.median(mine - bare for mine, bare in zip(taken[name], taken["bare"], strict=True))


def measure(folder: Path, rounds: int) -> list[list[str]]:
    """The rows of the table."""
    subjects = prepare(folder)
    with (
        closing(ControlPage.create(folder / "ctl", heartbeat_ttl_ns=10**13)) as page,
        closing(EventsPage.create(folder / "events")),
    ):
        page.heartbeat(time.clock_gettime_ns(time.CLOCK_BOOTTIME))
        rows = calls("disarmed, a call", folder, subjects, rounds, "version", budget=CALL_BUDGET_NS)
        pair = {name: subjects[name] for name in ("bare", "shim")}
        for what, gpu in (("armed, another GPU's call", GPUS[1]), ("armed, a faulted call", GPUS[0])):
            page.arm([Slot(fault_id="bench", gpu=gpu, cuda_err=719, classes=FAULTED, new_procs=True)])
            rows += calls(what, folder, pair, rounds, "sync")
            page.disarm("bench")
        return rows + starts(folder, pair, rounds)


def calls(
    what: str, folder: Path, subjects: Environments, rounds: int, call: str, budget: float | None = None
) -> list[list[str]]:
    """One row for every subject."""
    taken = timed(folder, subjects, rounds, call, "500000" if call == "version" else "20000")
    bare = statistics.median(taken["bare"])
    rows = []
    for name in subjects:
        more, count = added(taken, name), number(folder, subjects[name], "count", call)
        verdict = ("ok" if more <= budget else "**over**") if budget is not None and name == "shim" else ""
        ratio = f"{statistics.median(taken[name]) / bare:,.1f} ×"
        rows.append(
            [
                f"{what}: {name}",
                f"{statistics.median(taken[name]):,.2f} ns",
                f"{more:+,.2f} ns",
                ratio,
                f"{count:.0f}",
                verdict,
            ]
        )
    return rows


def starts(folder: Path, subjects: Environments, rounds: int) -> list[list[str]]:
    """The start of `true`."""
    taken = timed(folder, subjects, rounds, "start", "10", "true")
    rows = []
    for name in subjects:
        more = added(taken, name) / 1000
        verdict = ("ok" if more <= START_BUDGET_US else "**over**") if name == "shim" else ""
        median = statistics.median(taken[name]) / 1000
        rows.append([f"start of `true`: {name}", f"{median:,.0f} µs", f"{more:+,.0f} µs", "", "", verdict])
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    rounds = 3 if parser.parse_args().quick else 9
    folder = Path(tempfile.mkdtemp(prefix="bench-shim-"))
    try:
        rows = measure(folder, rounds)
    finally:
        shutil.rmtree(folder)
    head = [
        "",
        "median",
        "more than bare",
        "times bare",
        "instructions",
        f"budget {CALL_BUDGET_NS:g} ns, {START_BUDGET_US / 1000:g} ms",
    ]
    for cells in (head, ["---"] * len(head), *rows):
        sys.stdout.write("| " + " | ".join(cells) + " |\n")


if __name__ == "__main__":
    with stoppable():
        main()
