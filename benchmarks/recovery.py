"""`make bench-recovery`: how long `offbus recover` takes for 100 undos, from its start to its end.

On the environment `local`: a run creates 100 objects (a workload, its namespace, and config maps), then gets SIGKILL.
The sandbox lives on, as a cluster does. Each object is deleted and waited for until it is really gone; the benchmark
fails when the recovery's report does not have all of them undone and no residue. No peer stands beside it: Chaos
Toolkit, krkn and LitmusChaos lose their rollbacks with their process.

Beside it the same with undos that do nothing, in an environment without anything in it: what the engine itself needs.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from benchmarks.stopping import stoppable

BIN = Path(sys.executable).parent
TARGET = Path(__file__).parent.parent / "scenarios" / "targets" / "deployment.yaml"
UNDOS = 100
BUDGET_S = 2.0
ROUNDS = 5
NAMESPACE = "drill-bench"
HEAD = "offbus: 1\nname: bench\ntimeout: 5m\n"
LOCAL = f"""\
{HEAD}environment: {{uses: local}}
steps:
  - {{id: deploy, uses: deploy, with: {{manifest: target.yaml}}}}
  - {{id: killed, uses: killed}}
"""


def nothing() -> str:
    """A scenario of as many undos that do nothing."""
    steps = "".join(f"  - {{id: s{number}, uses: noop_undo}}\n" for number in range(UNDOS))
    return f"{HEAD}environment: {{uses: nothing}}\nsteps:\n{steps}  - {{id: killed, uses: killed}}\n"


def target() -> str:
    """A manifest of `UNDOS` objects, the namespace that `deploy` makes counted."""
    objects = [one for one in yaml.safe_load_all(TARGET.read_text()) if one]
    for one in objects:
        one["metadata"]["namespace"] = NAMESPACE
    more = UNDOS - len(objects) - 1
    objects += [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": f"filler-{number}", "namespace": NAMESPACE},
            "data": {"number": str(number)},
        }
        for number in range(more)
    ]
    return yaml.safe_dump_all(objects)


class Bench:
    """A folder with a state home of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = os.environ | {"XDG_STATE_HOME": str(folder / "s"), "NO_COLOR": "1"}
        (folder / "target.yaml").write_text(target())
        (folder / "local.yaml").write_text(LOCAL)
        (folder / "nothing.yaml").write_text(nothing())

    def offbus(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end."""
        command = [str(BIN / "offbus"), *words]
        return subprocess.run(
            command, check=False, cwd=self.folder, env=self.env, text=True, capture_output=True
        )

    def recovered_s(self, scenario: str) -> float:
        """Play, be killed, recover; the seconds of the recovery. Raises SystemExit when it did not undo everything."""
        killed = self.offbus("run", scenario, "--view", "quiet")
        if killed.returncode != -9:
            raise SystemExit(f"bench: the run was not killed ({killed.returncode}):\n{killed.stderr[-2000:]}")
        (mark,) = (self.folder / "s/offbus/runs").glob("*/unfinished")
        begun = time.perf_counter()
        recovered = self.offbus("recover", str(mark.parent))
        taken = time.perf_counter() - begun
        self.check(recovered, mark.parent / "report.json")
        return taken

    def check(self, recovered: "subprocess.CompletedProcess[str]", report: Path) -> None:
        """Every undo was settled by this recovery, and nothing is left."""
        told = json.loads(report.read_text())
        undone = sum(undo["result"] in ("restored", "nothing") for undo in told["undos"])
        recorded = len(told["undos"])  # a few more: steps have undos of their own
        if recovered.returncode != 0 or not UNDOS <= recorded == undone or told["residue"]:
            raise SystemExit(
                f"bench: {undone} of {recorded} undone, exit {recovered.returncode}, residue {told['residue']}:\n"
                f"{recovered.stderr[-2000:]}"
            )


@contextmanager
def sandbox(bench: Bench) -> Iterator[None]:
    """A kept one: it is there before a run and after it, as a cluster is."""
    try:
        if (up := bench.offbus("local", "up")).returncode != 0:
            raise SystemExit(f"bench: no sandbox: {up.stderr[-2000:]}")
        yield
    finally:
        bench.offbus("local", "down")


def main() -> None:
    """Measure and print."""
    folder = Path(tempfile.mkdtemp(prefix="obr-"))
    try:
        bench = Bench(folder)
        with sandbox(bench):
            for name in ("local", "nothing"):
                taken = [bench.recovered_s(f"{name}.yaml") for _ in range(ROUNDS + 1)][1:]
                report(name, taken)
    finally:
        shutil.rmtree(folder)


def report(name: str, taken: list[float]) -> None:
    """One line."""
    median = statistics.median(taken)
    verdict = "ok" if median <= BUDGET_S else "over"
    print(
        f"{UNDOS} undos recovered, environment {name}: {median:.2f} s ({min(taken):.2f} to {max(taken):.2f}), "
        f"budget {BUDGET_S:g} s: {verdict}",
        flush=True,
    )


if __name__ == "__main__":
    with stoppable():
        main()
