"""Measures a runner in a large cluster, beside a poller: memory, CPU when quiet, and how soon a cordon is known.

    make bench-fleet                                 # 5,000 nodes, 20,000 pods, 200 changes of pods a second
    make bench-fleet ARGS="--nodes 500 --pods 2000"

A real API server on a real etcd, on loopback, holds the fleet; nothing runs on its nodes, and their leases are off. The
runner is `offbus run` of a drill that stands and watches. The poller lists all nodes every five seconds, as scripts do.
A cordon's delay is from the `stageTimestamp` of the API server's audit log to the event in the runner's journal, or to
the end of the poll that shows it: one clock, that of this machine. Budgets: design, section 10.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import anyio
import yaml

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "kubernetes"))

from lone_server import GROUP_OF_ADMINS, LoneServer  # the tests' API server

from offbus_steps.kubernetes.connection import Login
from offbus_steps.kubernetes.port import AGENT_NAMESPACE, KubernetesPort, open_port
from offbus_steps.port import Ref

DRILLS, FLEET = "drill-fleet", "fleet"
WRITERS = 24
POLL_S = 5.0
BUDGETS = {"rss_mib": 200.0, "quiet_cpu_percent": 5.0, "cordon_ms": 50.0}
AUDIT = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "Metadata", "verbs": ["patch"], "resources": [{"group": "", "resources": ["nodes"]}]},
        {"level": "None"},
    ],
}
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


@dataclass(frozen=True)
class Watcher:
    """A process that is measured."""

    name: str
    process: "subprocess.Popen[bytes]"

    def rss_mib(self) -> float:
        """The most that it has had."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024

    def cpu_s(self) -> float:
        """What it has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Measure, print, and exit 1 when a budget is not kept."""
    args = _parser().parse_args()
    with tempfile.TemporaryDirectory(prefix="offbus-fleet-") as folder, served(Path(folder)) as server:
        found = anyio.run(measured, server, args)
    print(json.dumps(found, indent=2))
    over = [key for key, most in BUDGETS.items() if found["runner"][key] > most]
    for key in over:
        print(f"over budget: {key} {found['runner'][key]} > {BUDGETS[key]}", file=sys.stderr)
    sys.exit(bool(over))


@contextmanager
def served(folder: Path) -> Iterator[LoneServer]:
    """The API server, with its audit log."""
    (folder / "audit.json").write_text(json.dumps(AUDIT))
    options = [f"--audit-policy-file={folder / 'audit.json'}", f"--audit-log-path={folder / 'audit.log'}"]
    server = LoneServer(folder, {"admin": GROUP_OF_ADMINS}, options=options)
    server.start()
    try:
        yield server
    finally:
        server.stop()


async def measured(server: LoneServer, args: argparse.Namespace) -> dict[str, Any]:
    """Everything, in numbers."""
    kubeconfig = server.kubeconfig("admin")
    async with open_port(Login(str(kubeconfig)), qps=1000, burst=2000) as port:
        await make_fleet(port, args.nodes, args.pods)
        runner = Watcher("runner", start_runner(server, kubeconfig))
        poller = Watcher("poller", start_poller(server))
        try:
            await standing(server.folder, runner)
            quiet = await cpu_percent((runner, poller), args.seconds)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(churn, port, args.pods, args.changes)
                busy = await cpu_percent((runner, poller), args.seconds)
                cordoned = await cordon(port, args.nodes, args.cordons)
                tasks.cancel_scope.cancel()
            return results(server.folder, args, (runner, poller), quiet, busy, cordoned)
        finally:
            for one in (runner, poller):
                one.process.kill()
                one.process.wait()


async def make_fleet(port: KubernetesPort, nodes: int, pods: int) -> None:
    """Write all of it, and a target that never gets ready."""
    for name in (DRILLS, FLEET, AGENT_NAMESPACE):
        await port.objects.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    await port.objects.create(target())
    begun = time.monotonic()
    await each(nodes, lambda number: port.objects.create(node(number)))
    await each(pods, lambda number: port.objects.create(pod(number, nodes)))
    told = f"{nodes} nodes and {pods} pods written in {time.monotonic() - begun:.0f} s"
    print(f"bench-fleet: {told}", file=sys.stderr)


async def each(count: int, do: Callable[[int], Awaitable[Any]]) -> None:
    """Do it for every number, some at a time."""
    numbers = iter(range(count))

    async def work() -> None:
        for number in numbers:
            await do(number)

    async with anyio.create_task_group() as tasks:
        for _ in range(WRITERS):
            tasks.start_soon(work)


def node(number: int) -> dict[str, Any]:
    """As a cloud's: with as many labels and annotations as such nodes have."""
    labels = {f"fleet.example/label-{one}": f"value-{one}-{number % 7}" for one in range(25)}
    meta = {"name": f"fleet-{number:05d}", "labels": labels, "annotations": {"fleet.example/zone": "a"}}
    return {"apiVersion": "v1", "kind": "Node", "metadata": meta}


def pod(number: int, nodes: int) -> dict[str, Any]:
    """Bound to its node; nobody runs it."""
    container = {"name": "main", "image": "none", "env": [{"name": "A", "value": "b"}]}
    meta = {"name": f"pod-{number:05d}", "namespace": FLEET, "labels": {"app": f"app-{number % 100}"}}
    spec = {"nodeName": f"fleet-{number % nodes:05d}", "containers": [container]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


def target() -> dict[str, Any]:
    """A Deployment without a controller."""
    labels = {"app": "llm"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "none"}]}}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    meta = {"name": "llm", "namespace": DRILLS}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec}


def start_runner(server: LoneServer, kubeconfig: Path) -> "subprocess.Popen[bytes]":
    """A drill that stands at its first step."""
    existing = {"kind": "Deployment", "name": "llm", "namespace": DRILLS}
    step = {"id": "stands", "uses": "deploy", "with": {"existing": existing, "port": 80}, "timeout": "2h"}
    scenario = {
        "offbus": 1,
        "name": "fleet",
        "environment": {"uses": "kubernetes", "kubeconfig": str(kubeconfig)},
        "guards": {"max_cordoned_nodes": 1000, "namespaces": [DRILLS]},
        "timeout": "2h",
        "steps": [step],
    }
    path = server.folder / "fleet.yaml"
    path.write_text(yaml.safe_dump(scenario))
    command = [sys.executable, "-m", "offbus", "run", str(path), "--runs", str(server.folder / "runs")]
    with (server.folder / "runner.log").open("wb") as log:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def start_poller(server: LoneServer) -> "subprocess.Popen[bytes]":
    """What scripts do."""
    command = [sys.executable, "-c", POLLER, server.url, server.tokens["admin"], str(POLL_S)]
    with (server.folder / "poller.log").open("wb") as log:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.DEVNULL)


async def standing(folder: Path, runner: Watcher) -> None:
    """Wait until the drill stands: all it does at its start (the fingerprint of everything) is over."""
    while '"kind":"step_started"' not in journal_of(folder):  # a benchmark may look again and again
        if runner.process.poll() is not None:
            raise SystemExit(f"bench: the runner ended: {(folder / 'runner.log').read_text()[-2000:]}")
        await anyio.sleep(0.5)
    await anyio.sleep(2 * POLL_S)


def journal_of(folder: Path) -> str:
    """The runner's journal, so far."""
    return "".join(path.read_text() for path in (folder / "runs").glob("*/journal.jsonl"))


async def cpu_percent(watchers: tuple[Watcher, ...], seconds: float) -> dict[str, float]:
    """Of one core, over so many seconds."""
    before = {one.name: one.cpu_s() for one in watchers}
    await anyio.sleep(seconds)
    return {one.name: 100 * (one.cpu_s() - before[one.name]) / seconds for one in watchers}


async def churn(port: KubernetesPort, pods: int, a_second: int) -> None:
    """So many changes of pods a second, spread over writers, for ever."""
    drawn = random.Random(1)

    async def work() -> None:
        while True:
            begun = anyio.current_time()
            ref = Ref("Pod", f"pod-{drawn.randrange(pods):05d}", FLEET)
            await port.objects.patch(ref, {"metadata": {"annotations": {"fleet.example/at": str(begun)}}})
            await anyio.sleep(max(0.0, WRITERS / a_second - (anyio.current_time() - begun)))

    async with anyio.create_task_group() as tasks:
        for _ in range(WRITERS):
            tasks.start_soon(work)


async def cordon(port: KubernetesPort, nodes: int, times: int) -> list[str]:
    """Cordon some nodes, one after the other, each long enough for a poll to see it."""
    drawn = random.Random(2).sample(range(nodes), times)
    for number in drawn:
        await port.objects.patch(Ref("Node", f"fleet-{number:05d}"), {"spec": {"unschedulable": True}})
        await anyio.sleep(POLL_S * 1.4)
    await anyio.sleep(2 * POLL_S)
    return [f"fleet-{number:05d}" for number in drawn]


def results(
    folder: Path,
    args: argparse.Namespace,
    watchers: tuple[Watcher, ...],
    quiet: dict[str, float],
    busy: dict[str, float],
    cordoned: list[str],
) -> dict[str, Any]:
    """The numbers, for people and for CI."""
    seen = {"runner": runner_saw(folder), "poller": poller_saw(folder)}
    at = audited(folder)
    found: dict[str, Any] = {"nodes": args.nodes, "pods": args.pods, "changes_a_second": args.changes}
    for one in watchers:
        delays = [1000 * (seen[one.name][name] - at[name]) for name in cordoned]
        found[one.name] = {
            "rss_mib": round(one.rss_mib(), 1),
            "quiet_cpu_percent": round(quiet[one.name], 2),
            "busy_cpu_percent": round(busy[one.name], 2),
            "cordon_ms": round(max(delays), 1),
            "cordon_median_ms": round(statistics.median(delays), 1),
        }
    return found


def audited(folder: Path) -> dict[str, float]:
    """Node -> when the API server had carried its patch out."""
    lines = (json.loads(line) for line in (folder / "audit.log").read_text().splitlines())
    return {one["objectRef"]["name"]: instant(one["stageTimestamp"]) for one in lines}


def runner_saw(folder: Path) -> dict[str, float]:
    """Node -> when the runner's journal had its cordon."""
    events = [json.loads(line) for line in journal_of(folder).splitlines()]
    return {
        one["data"]["subject"].rpartition("/")[2]: instant(one["t"])
        for one in events
        if one["kind"] == "observed" and one["data"]["to"] == "cordoned"
    }


def poller_saw(folder: Path) -> dict[str, float]:
    """Node -> when a poll showed it."""
    lines = (json.loads(line) for line in (folder / "poller.log").read_text().splitlines())
    return {one["node"]: one["t"] for one in lines}


def instant(text: str) -> float:
    """Seconds since the epoch."""
    return datetime.fromisoformat(text).timestamp()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=5000)
    parser.add_argument("--pods", type=int, default=20000)
    parser.add_argument("--changes", type=int, default=200, help="of pods, a second")
    parser.add_argument("--seconds", type=float, default=30.0, help="for each measurement of CPU")
    parser.add_argument("--cordons", type=int, default=10)
    return parser


if __name__ == "__main__":
    main()
