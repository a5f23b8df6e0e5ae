"""From the pid that a process sees to the pid that the node sees.

Job: find the process that filled a row of the events file, and whose pod it is in. The row is believed in nothing: the
process must live in the pid namespace that the row names, have that pid in it, and have the control page mapped. None
means that no such process is alive (any more); `census` remembers those that lived, for processes that end right
after their call has failed. Reading /proc of processes that come and go never raises.

Names, paths and environments in /proc are what their processes made them, so these files are read as bytes, by their
own format: a line ends with a line feed and nothing else (the kernel escapes those in names and paths), a field counts
only in its own column, and what does not have the kernel's form is passed over.
"""

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "Known",
    "Preloaded",
    "all_pids",
    "census",
    "content_of",
    "find_processes",
    "living_pods",
    "pod_uid",
    "preloaded",
]

_PROC = Path("/proc")
_POD = re.compile(rb"pod([0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12})")
"""Kubelet's cgroup of a pod; its systemd driver spells the uid with underscores."""
_CONTAINER = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
"""A container's id, as runtimes name its cgroup."""
_NSPID = re.compile(rb"NSpid:(?:\t[0-9]{1,10})*\t([0-9]{1,10})")
"""In /proc/PID/status (proc(5)): the pid in each namespace from ours inwards; the last is the process's own."""
_MAPPING = re.compile(rb"[0-9a-f]+-[0-9a-f]+ (\S{4}) [0-9a-f]+ ([0-9a-f]+:[0-9a-f]+) ([0-9]+)(?: |$)")
"""In /proc/PID/maps (proc(5)): permissions, device, inode. The path after them may hold anything."""
_Mapping = tuple[bytes, bytes]
"""Device and inode of a file."""


def find_processes(wanted: Iterable[tuple[int, int]], page: Path) -> dict[tuple[int, int], int]:
    """The pid, in our namespace, of each wanted process (inode of its pid namespace, pid in it) that is found.

    One look at /proc for all of them, however many: what a process of our own namespace is called needs none.
    """
    mapped, here, asked = _mapping_key(page), _namespace(os.getpid()), set(wanted)
    namespaces = {namespace for namespace, _ in asked} - {here}
    candidates = [pid for namespace, pid in asked if namespace == here] + (
        list(all_pids()) if namespaces else []
    )
    found: dict[tuple[int, int], int] = {}
    for candidate in candidates:
        namespace = _namespace(candidate)
        if namespace != here and namespace not in namespaces:
            continue
        inner = _innermost_pid(candidate)
        if namespace and inner and (namespace, inner) in asked and _has_mapped(candidate, mapped):
            found[namespace, inner] = candidate
    return found


@dataclass(frozen=True, slots=True)
class Known:
    """A process as the node knows it. `pod_uid` is None for one that is in no pod."""

    host_pid: int | None
    pod_uid: str | None


def census(page: Path, node_root: Path) -> dict[tuple[int, int], Known]:
    """Every process that has the control page mapped now, by pid namespace and pid in it."""
    mapped = _mapping_key(page)
    found = {}
    for pid in all_pids():
        if not _has_mapped(pid, mapped):
            continue
        namespace, inner = _namespace(pid), _innermost_pid(pid)
        if namespace is not None and inner is not None:
            found[namespace, inner] = Known(pid, pod_uid(pid, node_root))
    return found


@dataclass(frozen=True, slots=True)
class Preloaded:
    """The first process of a pod's container, and the LD_PRELOAD that it was started with."""

    pid: int
    """In its own namespace."""
    container: str
    """The container's id by its cgroup; "" on a node that is a folder."""
    value: str | None
    """None: its environment cannot be read."""


def preloaded(pod: str, node_root: Path) -> list[Preloaded]:
    """The first process of each container of a pod: what its image, its spec and whoever chained made of LD_PRELOAD."""
    first: dict[str, Preloaded] = {}
    for host_pid in all_pids():
        pid = _innermost_pid(host_pid)
        if pid is None or pod_uid(host_pid, node_root) != pod:
            continue
        container = _container_id(host_pid)
        if container not in first or pid < first[container].pid:
            first[container] = Preloaded(pid, container, _variable(host_pid, "LD_PRELOAD"))
    return sorted(first.values(), key=lambda one: one.container)


def _container_id(pid: int) -> str:
    found = _CONTAINER.search(content_of(pid, "cgroup") or b"")
    return found[0].decode() if found else ""


def _variable(pid: int, name: str) -> str | None:
    """Of the environment that a process was started with; "" when it had none of that name."""
    content = content_of(pid, "environ")
    if content is None:
        return None
    values = [
        entry.partition(b"=")[2] for entry in content.split(b"\0") if entry.startswith(f"{name}=".encode())
    ]
    return values[0].decode(errors="replace") if values else ""


def pod_uid(pid: int, node_root: Path) -> str | None:
    """The uid of the pod that the process is in; None when it is in none.

    In Kubernetes its cgroup says so; on a node that is a folder, its home below `pods/` (docs/architecture.md).
    """
    found = _POD.search(content_of(pid, "cgroup") or b"")  # the first: a pod may name cgroups inside its own
    return found[1].decode().replace("_", "-") if found else _home_pod(pid, node_root)


def living_pods(node_root: Path) -> frozenset[str]:
    """The uids of all pods that have a process here."""
    return frozenset(pod for pid in all_pids() if (pod := pod_uid(pid, node_root)))


def _home_pod(pid: int, node_root: Path) -> str | None:
    home = _variable(pid, "HOME")
    if not home or os.path.realpath(Path(home).parent) != os.path.realpath(node_root / "pods"):
        return None
    return Path(home).name


def all_pids() -> Iterator[int]:
    """Every process that we can see, by its pid in our namespace."""
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            yield int(entry.name)


def _namespace(pid: int) -> int | None:
    try:
        return (_PROC / str(pid) / "ns/pid").stat().st_ino
    except OSError:
        return None


def _innermost_pid(pid: int) -> int | None:
    """The pid in the process's own namespace."""
    found = (_NSPID.fullmatch(line) for line in _lines(pid, "status"))
    return next((int(one[1]) for one in found if one), None)


def _has_mapped(pid: int, file: _Mapping) -> bool:
    """For reading only, as the shim does: the agent's own mapping can be written."""
    found = (_MAPPING.match(line) for line in _lines(pid, "maps"))
    return any(one[1] == b"r--s" and one.group(2, 3) == file for one in found if one)


def _mapping_key(path: Path) -> _Mapping:
    """How /proc/PID/maps names a file."""
    found = path.stat()
    device = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}"
    return device.encode(), str(found.st_ino).encode()


def _lines(pid: int, file: str) -> list[bytes]:
    return (content_of(pid, file) or b"").split(b"\n")


def content_of(pid: int, file: str) -> bytes | None:
    """A file of /proc/PID; None when it cannot be read: the process has ended, or is not ours to look at."""
    try:
        return (_PROC / str(pid) / file).read_bytes()
    except OSError:
        return None
