"""Measures a runner in a large cluster, beside a poller: memory, CPU when quiet, and how soon a cordon is known.

    make bench-fleet                                 # 5,000 nodes, 20,000 pods, 200 changes of pods a second
    make bench-fleet ARGS="--nodes 500 --pods 2000"
    make bench-fleet ARGS="--beside ../old/.venv/bin/python"    # an older commit's runner, in the same minutes

A real API server on a real etcd, on loopback, holds the fleet; kwok plays its nodes and pods, their leases off. The
runner is `offbus run` of a drill that stands and watches. The poller lists all nodes every five seconds, as scripts do.
A cordon's delay is from the `stageTimestamp` of the API server's audit log to the event in the runner's journal, or to
the end of the poll that shows it: one clock, that of this machine. Budgets: design, section 10.

At the end the drill is told to stop, and looks at everything again: the most memory that it has had counts, too.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio

from benchmarks.fleet_cluster import Fleet, served
from benchmarks.fleet_report import BUDGETS, Share, results
from benchmarks.fleet_watchers import POLL_S, Watcher, cpu_percent, ended, standing, watchers_of
from benchmarks.stopping import stoppable
from offbus.exits import Exit
from offbus_steps.kubernetes.port import open_port
from offbus_steps.kubernetes.rest.connection import Login
from tests.kits.kubernetes.lone_server import LoneServer

CHURNED = 0.9
"""As much of the churn that was asked for has to have happened."""


def main() -> None:
    """Measure, print, and exit 1 when a budget is not kept."""
    args = _parser().parse_args()
    with tempfile.TemporaryDirectory(prefix="offbus-fleet-") as folder, served(Path(folder)) as server:
        found = anyio.run(measured, server, args)
    print(json.dumps(found, indent=2))
    wrong = list(complaints(found, args.changes))
    for one in wrong:
        print(one, file=sys.stderr)
    sys.exit(bool(wrong))


def complaints(found: dict[str, Any], changes: int) -> Iterator[str]:
    """What was over budget, or measured under less than what was asked for."""
    for name in {"runner", "beside"} & set(found):
        if found[name]["exit_status"] != Exit.INTERRUPTED:
            yield (
                f"the drill of {name} ended with {found[name]['exit_status']}, not {Exit.INTERRUPTED}: it was stopped, "
                "and leaves nothing"
            )
    runner = found["runner"]
    for key, most in BUDGETS.items():
        if runner[key] > most:
            yield f"over budget: {key} {runner[key]} > {most}"
    if found["busy_changes_a_second"] < changes * CHURNED:
        yield f"too little churn: {found['busy_changes_a_second']} changes a second, not {changes}"


async def measured(server: LoneServer, args: argparse.Namespace) -> dict[str, Any]:
    """Everything, in numbers."""
    async with open_port(Login(str(server.kubeconfig("admin"))), qps=1000, burst=2000) as port:
        fleet = Fleet(port, args.nodes, args.pods)
        await fleet.make(args.patience)
        with watchers_of(server, args.beside) as watchers:
            runners = [one for one in watchers if one.runs is not None]
            for one in runners:
                await standing(server.folder, one)
            quiet = await share(fleet, watchers, args.seconds)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(fleet.churn, args.changes)
                await anyio.sleep(POLL_S)  # until it has its speed
                busy = await share(fleet, watchers, args.seconds)
                cordoned = await fleet.cordon(args.cordons, POLL_S * 1.4)
                await anyio.sleep(2 * POLL_S)
                tasks.cancel_scope.cancel()
            await fleet.uncordon(cordoned)
            for one in runners:
                await ended(one)
            return results(server.folder, fleet, watchers, quiet, busy, cordoned)


async def share(fleet: Fleet, watchers: tuple[Watcher, ...], seconds: float) -> Share:
    """What the processes use of a core, and how much the cluster changed meanwhile."""
    before = await fleet.version()
    percent = await cpu_percent(watchers, seconds)
    return Share(percent, (await fleet.version() - before) / seconds)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=5000)
    parser.add_argument("--pods", type=int, default=20000)
    parser.add_argument("--changes", type=int, default=200, help="of pods, a second")
    parser.add_argument("--seconds", type=float, default=30.0, help="for each measurement of CPU")
    parser.add_argument("--cordons", type=int, default=10)
    parser.add_argument(
        "--beside", type=Path, help="the Python of another installation, whose runner watches too"
    )
    parser.add_argument(
        "--patience", type=float, default=1800.0, help="seconds that making the fleet may take"
    )
    return parser


if __name__ == "__main__":
    with stoppable():
        main()
