"""Who watches the fleet, and is measured: a runner with a drill that stands, and a poller as scripts are.

A runner of another installation may stand beside it: an older commit, in the same cluster and the same minutes.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import yaml

from benchmarks.fleet_cluster import BESIDE, DRILLS
from offbus.journal.events import Event, EventKind
from offbus.journal.reader import read_journal
from offbus_steps.kubernetes.port import AGENT_NAMESPACE
from tests.kits.kubernetes.lone_server import LoneServer

__all__ = ["POLL_S", "Watcher", "cpu_percent", "ended", "events_of", "standing", "watchers_of"]

POLL_S = 5.0
LOOK_S = 0.2
END_S = 300.0
POLLER = """
import json, ssl, sys, time, urllib.request
server, token, period = sys.argv[1], sys.argv[2], float(sys.argv[3])
context = ssl._create_unverified_context()
known = set()
while True:
    begun = time.monotonic()
    asked = urllib.request.Request(server + "/api/v1/nodes", headers={"Authorization": "Bearer " + token})
    nodes = json.load(urllib.request.urlopen(asked, context=context))["items"]
    now = {one["metadata"]["name"] for one in nodes if one["spec"].get("unschedulable")}
    for name in now - known:
        print(json.dumps({"node": name, "t": time.time()}), flush=True)
    known = now
    time.sleep(max(0.0, period - (time.monotonic() - begun)))
"""


@dataclass
class Watcher:
    """A process that is measured."""

    name: str
    process: "subprocess.Popen[bytes]"
    runs: Path | None = None
    """Where a runner keeps its journal; None for the poller."""
    most_mib: dict[str, float] = field(default_factory=dict)
    """The most memory that it has had, by the time at which that was looked up."""

    def look(self, when: str) -> None:
        """Note what it has had by now; a process that has ended leaves what was noted."""
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text()
        except FileNotFoundError:
            return
        if "VmHWM:" in status:  # one that has ended has none
            self.most_mib[when] = int(status.partition("VmHWM:")[2].split()[0]) / 1024

    def cpu_s(self) -> float:
        """What it has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def watchers_of(server: LoneServer, beside: Path | None) -> Iterator[tuple[Watcher, ...]]:
    """All, while the block runs: the runner, the poller and, where given, the runner of the interpreter `beside`."""
    watchers: list[Watcher] = []
    try:
        watchers.append(start_runner(server, "runner", sys.executable, AGENT_NAMESPACE))
        watchers.append(start_poller(server))
        if beside is not None:
            watchers.append(start_runner(server, "beside", str(beside), BESIDE))
        yield tuple(watchers)
    finally:
        for one in watchers:
            one.process.kill()
            one.process.wait()


def start_runner(server: LoneServer, name: str, interpreter: str, agents: str) -> Watcher:
    """A drill that stands at its first step."""
    existing = {"kind": "Deployment", "name": "llm", "namespace": DRILLS}
    step = {"id": "stands", "uses": "deploy", "with": {"existing": existing, "port": 80}, "timeout": "2h"}
    scenario = {
        "offbus": 1,
        "name": f"fleet-{name}",
        "environment": {"uses": "kubernetes", "agent_namespace": agents},
        "guards": {"max_cordoned_nodes": 1000, "namespaces": [DRILLS]},
        "timeout": "2h",
        "steps": [step],
    }
    path = server.folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(scenario))
    runs = server.folder / f"{name}-runs"
    command = [interpreter, "-m", "offbus", "run", str(path), "--runs", str(runs)]
    command += ["--env-set", f"kubeconfig={server.kubeconfig('admin')}"]
    with (server.folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=server.folder
        )
    return Watcher(name, process, runs)


def start_poller(server: LoneServer) -> Watcher:
    """What scripts do."""
    command = [sys.executable, "-c", POLLER, server.url, server.tokens["admin"], str(POLL_S)]
    with (server.folder / "poller.log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.DEVNULL)
    return Watcher("poller", process)


async def standing(folder: Path, runner: Watcher) -> None:
    """Wait until the drill stands: all it does at its start (the fingerprint of everything) is over."""
    # a benchmark may look again and again
    while all(one["kind"] != EventKind.STEP_STARTED for one in events_of(runner)):
        if runner.process.poll() is not None:
            raise SystemExit(
                f"bench: the runner ended: {(folder / f'{runner.name}.log').read_text()[-2000:]}"
            )
        await anyio.sleep(0.5)
    await anyio.sleep(2 * POLL_S)
    runner.look("standing")


async def ended(runner: Watcher) -> None:
    """Stop the drill as a person would; it compares everything with what it was. Looks at its memory to the end."""
    runner.process.send_signal(signal.SIGINT)
    with anyio.fail_after(END_S):
        while runner.process.poll() is None:
            runner.look("ended")
            await anyio.sleep(LOOK_S)


def events_of(runner: Watcher) -> list[Event]:
    """What a runner has journaled so far."""
    assert runner.runs is not None
    return [event for path in runner.runs.glob("*/journal.jsonl") for event in read_journal(path).events]


async def cpu_percent(watchers: tuple[Watcher, ...], seconds: float) -> dict[str, float]:
    """Of one core, over so many seconds."""
    before = {one.name: one.cpu_s() for one in watchers}
    await anyio.sleep(seconds)
    for one in watchers:
        one.look("measured")
    return {one.name: 100 * (one.cpu_s() - before[one.name]) / seconds for one in watchers}
