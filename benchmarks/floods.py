"""`make bench-floods`: how late a lease ends, and how long a disarm takes, while a pod floods the agent of its node.

Each flood stands beside the quiet case of the same round, as a ratio. The floods are those that tests/agent plays with
watchdogs: all rows of the events file rewritten without a pause, hundreds of connections that send nothing, half a
head, or a long poll. Lateness is read off the control page, which is what processes see: from the end of the lease, or
the begin of the request, until the page is empty.
"""

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from benchmarks.stopping import stoppable
from offbus_agent.lease_time import boottime_ns
from tests.kits.agent.floods import HALF_A_HEAD, POLL, connections, gone_at, rows_flood, tcp
from tests.kits.agent.node_world import OWNER, OWNER_ADDRESS, Node, RunningAgent, free_port, request

GOAL_MS = 50.0
CONNECTIONS = 500
POD = "127.0.0.3"
"""Another address than the owner's."""
LONGEST_NS = 20_000_000_000

Fault = dict[str, Any]
Flood = Callable[[Node, str, int], AbstractContextManager[object]]
"""By a node, its agent's port, and the generation of a fault."""


def of_connections(sent: bytes) -> Flood:
    """A flood of connections that send this and no more."""
    return lambda _node, port, _generation: connections(partial(tcp, port, POD), sent, CONNECTIONS)


FLOODS: dict[str, Flood] = {
    "quiet": lambda _node, _port, _generation: nullcontext(),
    "rows of the events file": lambda node, _port, generation: rows_flood(node, generation),
    "connections, nothing sent": of_connections(b""),
    "connections, half a head": of_connections(HALF_A_HEAD),
    "connections, a long poll": of_connections(POLL),
}


def expiry_ms(node: Node, flood: AbstractContextManager[object], fault: Fault) -> float:
    """How late its lease ended."""
    with flood:
        late: int = gone_at(node.ctl, fault["expires_ns"] + LONGEST_NS) - fault["expires_ns"]
    return late / 1e6


def disarm_ms(node: Node, port: str, flood: AbstractContextManager[object], fault: Fault) -> float:
    """How long its disarm took to show, from the request; on a connection that is open, as a runner's is."""
    owner = HTTPConnection(
        "127.0.0.1", int(port), timeout=LONGEST_NS / 1e9, source_address=(OWNER_ADDRESS, 0)
    )
    owner.connect()
    with closing(owner), flood:
        asked = boottime_ns()
        path = f"/faults/{fault['id']}/disarm"
        owner.request("POST", path, json.dumps(OWNER), {"X-Offbus-Token": node.token})
        took = gone_at(node.ctl, asked + LONGEST_NS) - asked
        assert owner.getresponse().status == 200
    return took / 1e6


def play(flood: Flood) -> tuple[float, float]:
    """One round: how late a lease ended, how long a disarm took."""
    with tempfile.TemporaryDirectory() as folder:
        node, port = Node(Path(folder) / "n"), free_port()
        agent = RunningAgent(node, "--host", "127.0.0.1", "--port", port)
        try:
            short = agent.post("/faults", request("short", planes=["cuda"], ttl_s=1.5), expect=201)
            late = expiry_ms(node, flood(node, port, short["generation"]), short)
            long = agent.post("/faults", request("long", planes=["cuda"], ttl_s=60), expect=201)
            return late, disarm_ms(node, port, flood(node, port, long["generation"]), long)
        finally:
            agent.stop()


def main() -> int:
    """Print the table; 1 when a flood makes a lease end or a disarm show later than the goal (the median)."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="how often each is played (default: 5)")
    wanted = parser.parse_args().rounds
    rounds = [{name: play(flood) for name, flood in FLOODS.items()} for _ in range(wanted)]
    print(f"{'':34}{'median':>10}{'most':>10}{'of quiet':>10}")
    over = False
    for at, what in enumerate(("expiry", "disarm")):
        for flood in FLOODS:
            took = [one[flood][at] for one in rounds]
            ratio = statistics.median(one[flood][at] / one["quiet"][at] for one in rounds)
            over |= statistics.median(took) > GOAL_MS
            print(f"{what}, {flood:<26}{statistics.median(took):8.1f}ms{max(took):8.1f}ms{ratio:9.1f}x")
    print(f"goal for the medians: {GOAL_MS:g} ms: {'missed' if over else 'reached'}")
    return int(over)


if __name__ == "__main__":
    with stoppable():
        raise SystemExit(main())
