"""From the pid that a process sees to the pid that the node sees.

Job: find the process that filled a row of the events file, and whose pod it is in. The row is believed in nothing: the
process must live in the pid namespace that the row names, have that pid in it, and have the control page mapped. None
means that no such process is alive (any more); `census` remembers those that lived, for processes that end right
after their call has failed. Reading /proc of processes that come and go never raises.

What is in /proc is hostile, so its files are read by their own format: a line ends with a line feed and nothing else
(the kernel escapes those in names and paths), a field counts only in its own column, and what does not have the
kernel's form is passed over. What only root may see there is asked of `hidden`.
"""

import os
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from offbus_agent.faults.hidden import Looks
from offbus_agent.faults.proc_files import all_pids, content_of, variable

__all__ = [
    "Known",
    "Look",
    "Preloaded",
    "census",
    "find_processes",
    "living_pods",
    "pod_uid",
    "preloaded",
]

_UID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_POD = re.compile(rb"^[^\n]*?pod([0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12})", re.MULTILINE)
"""Kubelet's cgroup of a pod; its systemd driver spells the uid with underscores. The first: a pod may name cgroups
inside its own."""
_USERS = re.compile(rb"[:/]user(?:-[0-9]+)?\.slice/")
"""The part of the cgroups in which systemd lets users make their own (user@.service, Delegate=)."""
_CONTAINER = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
"""A container's id, as runtimes name its cgroup."""
_NSPID = re.compile(rb"NSpid:(?:\t[0-9]{1,10})*\t([0-9]{1,10})")
"""In /proc/PID/status (proc(5)): the pid in each namespace from ours inwards; the last is the process's own."""
_MOST_OF_MAPPINGS = 8 << 20
"""Of one process's `maps`: 65530 mappings, the most by default (vm.max_map_count), with paths of usual length."""
_MOST_OF_A_POD = 4 * _MOST_OF_MAPPINGS
"""Of the `maps` of all its processes, in one look: a tenth of a second."""


@dataclass(frozen=True, slots=True)
class Known:
    """A process as the node knows it. `pod_uid` is None for one that is in no pod."""

    host_pid: int | None
    pod_uid: str | None


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at the node's processes has found."""

    found: dict[tuple[int, int], Known]
    """Those that have the control page mapped, by pid namespace and pid in it."""
    too_long: list[Known]
    """Those with more mappings than are read."""
    namespaces: set[tuple[str, int]]
    """Pods, and the pid namespaces that processes of theirs were seen in."""


def census(looks: Looks, node_root: Path, pods: Collection[str]) -> Look:
    """Every process of these pods that has the control page mapped now. Nobody else's mappings are read."""
    return _look(looks, node_root, pods, None)


def find_processes(
    wanted: Iterable[tuple[int, int]], looks: Looks, node_root: Path, pods: Collection[str]
) -> Look:
    """Those of the wanted processes (inode of a pid namespace, pid in it) that are in these pods.

    One look at /proc for all of them, however many.
    """
    return _look(looks, node_root, pods, set(wanted))


def _look(
    looks: Looks, node_root: Path, pods: Collection[str], asked: Collection[tuple[int, int]] | None
) -> Look:
    """A limit for each pod, so that none of them hides the processes of another."""
    remaining = dict.fromkeys(pods, _MOST_OF_A_POD)
    namespaces = None if asked is None else {namespace for namespace, _ in asked}
    look = Look({}, [], set())
    for pid in all_pids():
        who = Known(pid, pod_uid(pid, node_root))
        if who.pod_uid is None or who.pod_uid not in remaining:
            continue
        namespace = looks.namespace(pid)
        if namespace is None or (namespaces is not None and namespace not in namespaces):
            continue
        look.namespaces.add((who.pod_uid, namespace))
        inner = _innermost_pid(pid)
        if inner is None or (asked is not None and (namespace, inner) not in asked):
            continue
        has, read = looks.has_page(pid, min(_MOST_OF_MAPPINGS, remaining[who.pod_uid]))
        remaining[who.pod_uid] -= read
        if has:
            look.found[namespace, inner] = who
        elif has is None:
            look.too_long.append(who)
    return look


@dataclass(frozen=True, slots=True)
class Preloaded:
    """The first process of a pod's container, and the LD_PRELOAD that it was started with."""

    pid: int
    """In its own namespace."""
    container: str
    """The container's id by its cgroup; "" on a node that is a folder."""
    value: str | None
    """None: its environment cannot be read."""


def preloaded(looks: Looks, node_root: Path) -> dict[str, list[Preloaded]]:
    """The first process of each container, by pod: what image, spec and whoever chained made of its LD_PRELOAD."""
    first: dict[tuple[str, str], tuple[int, int]] = {}
    for host_pid in all_pids():
        pod, pid = pod_uid(host_pid, node_root), _innermost_pid(host_pid)
        if pod and pid:
            container = pod, _container_id(host_pid)
            first[container] = min((pid, host_pid), first.get(container, (pid, host_pid)))
    found: dict[str, list[Preloaded]] = {}
    for (pod, name), (pid, host_pid) in sorted(first.items()):
        found.setdefault(pod, []).append(Preloaded(pid, name, looks.preload(host_pid)))
    return found


def _container_id(pid: int) -> str:
    found = _CONTAINER.search(content_of(pid, "cgroup") or b"")
    return found[0].decode() if found else ""


def pod_uid(pid: int, node_root: Path) -> str | None:
    """The uid of the pod that the process is in; None when it is in none.

    In Kubernetes its cgroup says so; on a node that is a folder, and there alone, its home below `pods/`
    (docs/architecture.md): on a real one, every user may choose a home.
    """
    found = _POD.search(content_of(pid, "cgroup") or b"")
    if found and not _USERS.search(found[0]):
        return found[1].decode().replace("_", "-")
    return _home_pod(pid, node_root) if (node_root / "gpus.json").exists() else None


def living_pods(node_root: Path) -> frozenset[str]:
    """The uids of all pods that have a process here."""
    return frozenset(pod for pid in all_pids() if (pod := pod_uid(pid, node_root)))


def _home_pod(pid: int, node_root: Path) -> str | None:
    home = variable(pid, "HOME")
    if not home or os.path.realpath(Path(home).parent) != os.path.realpath(node_root / "pods"):
        return None
    name = Path(home).name
    return name if _UID.fullmatch(name) else None


def _innermost_pid(pid: int) -> int | None:
    """The pid in the process's own namespace."""
    found = (_NSPID.fullmatch(line) for line in (content_of(pid, "status") or b"").split(b"\n"))
    return next((int(one[1]) for one in found if one), None)
