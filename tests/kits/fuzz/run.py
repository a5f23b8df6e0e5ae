"""`make fuzz`: fuzzes every reader that outsiders' bytes reach. Exit code 0 when nothing was found, else 1.

    python -m tests.kits.fuzz.run [--seconds S] [--jobs N] [--keep] [TARGET…]

Each target is a process of its own with its kept corpus, which is only read; N at a time. A finding is a file below
`.fuzz/`, with the command that plays it. An input may take 10 s and the process 1 GiB: more is a finding, too. `--keep`
adds to the kept corpora what reached new code, reduced to as few and small inputs as reach the same.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from tests.kits import REPOSITORY
from tests.kits.fuzz.corpus import kept_in
from tests.kits.fuzz.in_c import IN_C, missing
from tests.kits.fuzz.targets import TARGETS

__all__ = ["main"]

LONGEST = 8192
"""Bytes of an input: a head, some lines, a manifest. What is larger is bounded by rules with tests of their own."""
ALL = (*TARGETS, *IN_C)
BOUNDS = (f"-max_len={LONGEST}", "-timeout=10", "-rss_limit_mb=1024", "-print_final_stats=1")
START_S = 120
"""For what a fuzzer does before and after its time: instrumenting what it imports, playing its corpus."""
FINDINGS = REPOSITORY / ".fuzz"
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""Where inputs are written as files: in memory, where the system has such a place."""


def main() -> int:
    """See the module's text."""
    parser = argparse.ArgumentParser(prog="make fuzz", description="Fuzz what outsiders' bytes reach.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"by default all: {', '.join(ALL)}")
    parser.add_argument("--seconds", type=int, default=20, help="for each target (default: 20)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="at a time")
    parser.add_argument("--keep", action="store_true", help="add what reached new code to the kept corpora")
    asked = parser.parse_args()
    unknown = sorted(set(asked.targets) - set(ALL))
    if unknown:
        parser.error(f"no such target: {', '.join(unknown)}; there are {', '.join(ALL)}")
    targets = asked.targets or ALL
    if why := _cannot(targets):
        print(why, file=sys.stderr)
        return 1
    pool = ThreadPoolExecutor(asked.jobs)
    try:
        return 0 if all(list(pool.map(partial(_fuzz, asked.seconds, asked.keep), targets))) else 1
    finally:  # after an interrupt those that wait for their turn are not begun
        pool.shutdown(cancel_futures=True)


def _cannot(targets: Sequence[str]) -> str:
    """Why these cannot be fuzzed here; "" when they can."""
    if set(targets) & set(IN_C) and (why := missing()):
        return why
    try:
        import atheris  # noqa: F401  # the engine for Python, on Linux x86-64 with Python 3.11 to 3.13
    except ImportError:
        if set(targets) - set(IN_C):
            return "make fuzz needs atheris, which has no build for this machine or Python"
    return ""


def _fuzz(seconds: int, keep: bool, name: str) -> bool:
    """Fuzz one target; whether nothing was found."""
    with tempfile.TemporaryDirectory(prefix=f"offbus-fuzz-{name}-", dir=MEMORY) as place:
        new, found = Path(place, "new"), Path(place, "found")
        new.mkdir()
        found.mkdir()
        limits = (f"-max_total_time={seconds}", f"-artifact_prefix={found}/")
        said = _play(name, place, seconds, *limits, new, kept_in(name))
        findings = [_saved(name, one) for one in sorted(found.iterdir())]
        if keep and not findings:
            _keep(name, place, new)
    counts = [line.split()[-1] for line in said.splitlines() if "number_of_executed_units" in line]
    print(f"{name}: {''.join(counts) or 'no'} inputs in {seconds} s, {len(findings)} found", flush=True)
    for one in findings:
        print(f"  {one}; play it: python -m tests.kits.fuzz.one {name} {one}", flush=True)
    if findings or not counts:
        print(_why(said), flush=True)
    return bool(counts) and not findings


def _play(name: str, place: str, seconds: int, *arguments: str | Path) -> str:
    """Start the fuzzer's program; what it said."""
    command = [sys.executable, "-m", "tests.kits.fuzz.one", name, *map(str, arguments), *BOUNDS]
    try:
        done = subprocess.run(
            command,
            cwd=REPOSITORY,
            env=os.environ | {"TMPDIR": place},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds + START_S,
        )
    except subprocess.TimeoutExpired:
        return f"{name} did not end within {seconds + START_S} s"
    return done.stdout + done.stderr


def _why(said: str) -> str:
    """The traceback of what a target in Python raised; without one, the end of what the fuzzer said."""
    _, _, raised = said.partition("=== Uncaught Python exception: ===")
    return raised.partition("INFO: ")[0].strip() or said[-4000:]


def _saved(name: str, finding: Path) -> Path:
    FINDINGS.mkdir(exist_ok=True)
    return Path(shutil.copy(finding, FINDINGS / f"{name}-{finding.name}")).relative_to(REPOSITORY)


def _keep(name: str, place: str, new: Path) -> None:
    """Add to the kept corpus what reaches code that nothing in it reaches, reduced to few and small inputs."""
    reduced = Path(place, "reduced")
    shutil.copytree(kept_in(name), reduced)
    _play(name, place, START_S, "-merge=1", reduced, new)
    for one in reduced.iterdir():
        shutil.copy(one, kept_in(name) / one.name)


if __name__ == "__main__":
    sys.exit(main())
