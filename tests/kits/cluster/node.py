"""Switching nodes on and off. A node is one process in namespaces of its own (node-init.sh) and all that it starts."""

import os
import select
import subprocess
import time
from pathlib import Path

from tests.kits.cluster.errors import ClusterError
from tests.kits.cluster.network import plug_in
from tests.kits.cluster.node_files import labels
from tests.kits.cluster.paths import REPOSITORY, ClusterPaths
from tests.kits.cluster.plan import HOST, NODES, POD_NETWORK, SERVICE_NETWORK, Node
from tests.kits.cluster.processes import end_role, environment, first_process

__all__ = ["boot", "enter", "lose_power", "role"]

INIT = Path(__file__).with_name("node-init.sh")
STANDIN = REPOSITORY / "agent/offbus_agent/native/standin"
UNSHARE = ["unshare", "--fork", "--kill-child", "--pid", "--mount", "--net", "--uts", "--ipc"]
UNSHARE += ["--propagation", "private"]
START_LIMIT_S = 10
SEPARATE_LIMIT_S = 30


def role(node: Node) -> str:
    """The mark of the node's processes."""
    return f"node-{node.name}"


def boot(paths: ClusterPaths, programs: Path, nodes: "tuple[Node, ...]") -> None:
    """Switch nodes on, all at once; their disks are as they were left. Returns when they are plugged in.

    Kubernetes hears of them later. Raises ClusterError for one that is on, or does not come up.
    """
    for node in nodes:
        if first_process(paths, role(node)):
            raise ClusterError(f"{node.name} is on already")
    started = [(node, *begin(paths, programs, node)) for node in nodes]
    deadline = time.monotonic() + SEPARATE_LIMIT_S
    for node, ready, plugged_in in started:
        wait_separate(paths, node, ready, deadline)
        pid = first_process(paths, role(node))
        if pid is None:
            raise ClusterError(
                f"{node.name} ended while it came up; its log is in {paths.node(node.name)}/log"
            )
        plug_in(node, pid)
        with os.fdopen(plugged_in, "wb") as line:
            line.write(b"plugged in\n")


def begin(paths: ClusterPaths, programs: Path, node: Node) -> tuple[int, int]:
    """Start the first process. Descriptors: on one it says that it can be plugged in, on the other we that it is."""
    ready, says = os.pipe()
    hears, plugged_in = os.pipe()
    extra = {**settings(paths, programs, node), "READY": str(says)}
    with (paths.node(node.name) / "log" / "node-init.log").open("ab") as log:
        subprocess.run(
            ["setsid", "--fork", *UNSHARE, "bash", str(INIT)],
            env=environment(paths, role(node), extra),
            cwd=paths.node(node.name),
            stdin=hears,
            stdout=log,
            stderr=log,
            pass_fds=[says],
            timeout=START_LIMIT_S,
            check=True,
        )
    os.close(says)
    os.close(hears)
    return ready, plugged_in


def settings(paths: ClusterPaths, programs: Path, node: Node) -> dict[str, str]:
    """What node-init.sh reads."""
    return {
        "NODE": node.name,
        "NUMBER": str(node.number),
        "ADDRESS": node.address,
        "NODE_DIR": str(paths.node(node.name)),
        "PROGRAMS": str(programs),
        "IMAGES": str(paths.images),
        "STANDIN": str(STANDIN),
        "API_HOST": HOST,
        "PODS": POD_NETWORK,
        "SERVICES": SERVICE_NETWORK,
        "LABELS": ",".join(f"{key}={value}" for key, value in labels(node).items()),
        "ROUTES": ";".join(f"{other.pods} {other.address}" for other in NODES if other != node),
    }


def wait_separate(paths: ClusterPaths, node: Node, ready: int, deadline: float) -> None:
    """Wait for the node's word. Raises ClusterError with the end of its log when it ends or stays silent."""
    try:
        readable, _, _ = select.select([ready], [], [], max(0.0, deadline - time.monotonic()))
        said = os.read(ready, 16) if readable else b""
    finally:
        os.close(ready)
    if not said:
        log = paths.node(node.name) / "log" / "node-init.log"
        raise ClusterError(f"{node.name} did not come up; {log} ends:\n{log.read_text()[-2000:]}")


def lose_power(paths: ClusterPaths, node: Node) -> None:
    """Switch the node off at once: nothing in it is told. Its disk stays."""
    end_role(paths, role(node))


def enter(paths: ClusterPaths, node: Node, command: "list[str]") -> list[str]:
    """The command line that runs a command inside a node. Raises ClusterError when the node is off."""
    pid = first_process(paths, role(node))
    if pid is None:
        raise ClusterError(f"{node.name} is off; boot it first")
    return ["nsenter", "--target", str(pid), "--all", "--", *command]
