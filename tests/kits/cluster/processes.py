"""The cluster's processes: started in sessions of their own, found again by a mark in their environment.

There are no pid files: a `make cluster` that is killed at any moment leaves nothing that the next `make cluster-down`
does not find. Everything inside a node ends with the node's first process, containers included.
"""

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio

from offbus_sandbox.processes.ending import end_all
from offbus_sandbox.processes.table import Process, processes, signal_process
from tests.kits.cluster.errors import ClusterError
from tests.kits.cluster.paths import ClusterPaths
from tests.kits.cluster.plan import CGROUP

__all__ = [
    "MARK",
    "ROLE",
    "end_processes",
    "end_role",
    "environment",
    "find",
    "first_process",
    "in_a_pod",
    "process_in",
    "start",
]

MARK = "OFFBUS_CLUSTER"
"""Environment variable of every process: the cluster's folder."""
ROLE = "OFFBUS_CLUSTER_ROLE"
"""Environment variable: `etcd`, `kube-apiserver`, …, or `node-n1` for everything of a node."""
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
START_LIMIT_S = 10
END_LIMIT_S = 60


def environment(paths: ClusterPaths, role: str, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a program gets; nothing of the caller's own, no proxy above all."""
    return {
        "PATH": PATH,
        "LANG": "C.UTF-8",
        "HOME": "/root",
        MARK: str(paths.root),
        ROLE: role,
        **(extra or {}),
    }


def start(paths: ClusterPaths, role: str, command: Sequence[str | Path]) -> None:
    """Start a program of the control plane; what it says goes to its log. `setsid` forks, so it is nobody's child."""
    with (paths.logs / f"{role}.log").open("ab") as log:
        subprocess.run(
            ["setsid", "--fork", *(str(word) for word in command)],
            env=environment(paths, role),
            cwd=paths.root,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            timeout=START_LIMIT_S,
            check=True,
        )


def find(paths: ClusterPaths, role: str | None = None) -> list[Process]:
    """The cluster's processes, or those of one role, oldest first; pods' are found by `in_a_pod`."""
    found = []
    for process in processes():
        env = process.environment()
        if (
            env.get(MARK) == str(paths.root)
            and process.id.pid != os.getpid()
            and role in (None, env.get(ROLE))
        ):
            found.append(process)
    return sorted(found, key=lambda process: process.id.start)


def in_a_pod() -> list[Process]:
    """Processes in the cluster's cgroups: those of pods, which do not carry the mark."""
    return [process for process in processes() if f"/{CGROUP}/" in cgroups(process.id.pid)]


def process_in(pod: Mapping[str, Any], word: str) -> int:
    """The pid, on the machine, of the one process of a pod whose command has this word."""
    mine = f"pod{pod['metadata']['uid']}"
    [found] = [
        one.id.pid
        for one in in_a_pod()
        if mine in cgroups(one.id.pid) and word in Path(f"/proc/{one.id.pid}/cmdline").read_text().split("\0")
    ]
    return found


def cgroups(pid: int) -> str:
    """`/proc/PID/cgroup`; empty when it has ended."""
    try:
        return Path(f"/proc/{pid}/cgroup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def first_process(paths: ClusterPaths, role: str) -> int | None:
    """The pid, on the machine, of the first process of a node; None when the node is down."""
    for process in find(paths, role):
        try:
            status = Path(f"/proc/{process.id.pid}/status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        [levels] = [line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:")]
        if len(levels) > 1 and levels[-1] == "1":  # as its own namespace counts it, last (proc(5))
            return process.id.pid
    return None


def end_role(paths: ClusterPaths, role: str) -> None:
    """SIGKILL, as a crash or a loss of power; returns when the kernel says that they have gone."""
    end(lambda: find(paths, role), role)


def end_processes(paths: ClusterPaths) -> None:
    """End all: what starts or restarts others first. Raises ClusterError when something does not end."""
    for process in find(paths):
        signal_process(process.id, signal.SIGKILL)
    end(lambda: find(paths) + in_a_pod(), "the cluster's processes")


def end(found: Callable[[], list[Process]], what: str) -> None:
    """Kill what is found until nothing is. Raises ClusterError after a minute."""

    async def bounded() -> None:
        with anyio.fail_after(END_LIMIT_S):
            await end_all(found)

    try:
        anyio.run(bounded)
    except TimeoutError as err:
        left = ", ".join(f"{p.id.pid} {p.command()}" for p in found())
        raise ClusterError(f"{what}: still there {END_LIMIT_S} s after SIGKILL: {left}") from err
