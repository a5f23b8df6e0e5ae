"""Maps the pid that a process sees to the pid that the node sees.

Job: find the process that filled a row of the events file, and its pod. The row is not trusted: the process must live
in the pid namespace that the row names, have that pid in it, and have the control page mapped. None means that no such
process is alive (any more); `census` lists those alive at one time, for processes that end right after their call has
failed. Reading /proc of processes that come and go never raises.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Known", "Preloaded", "census", "find_process", "pod_uid", "preloaded"]

_PROC = Path("/proc")
_POD = re.compile(r"pod([0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12})")
"""The kubelet's cgroup of a pod; its systemd driver spells the uid with underscores."""
_CONTAINER = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
"""A container's id, in the name of its cgroup."""


def find_process(pid: int, namespace: int, page: Path) -> int | None:
    """The pid, in our namespace, of the process with `pid` in pid namespace inode `namespace`; None if not found."""
    mapped = _mapping_key(page)
    own = _namespace(os.getpid()) == namespace  # then only `pid` itself can be it; else any process may be
    for candidate in (pid,) if own else _all_pids():
        same = _namespace(candidate) == namespace and _innermost_pid(candidate) == pid
        if same and _has_mapped(candidate, mapped):
            return candidate
    return None


@dataclass(frozen=True, slots=True)
class Known:
    """A process on the node. `pod_uid` is None for one that is in no pod."""

    host_pid: int | None
    pod_uid: str | None


def census(page: Path, node_root: Path) -> dict[tuple[int, int], Known]:
    """Every process that has the control page mapped now, by pid namespace and pid in it."""
    mapped = _mapping_key(page)
    found = {}
    for pid in _all_pids():
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
    """The container's id from its cgroup; "" on a node that is a folder."""
    value: str | None
    """None: its environment is not readable."""


def preloaded(pod: str, node_root: Path) -> list[Preloaded]:
    """The first process of each container of a pod, with the LD_PRELOAD that image, spec and operators made."""
    first: dict[str, Preloaded] = {}
    for host_pid in _all_pids():
        pid = _innermost_pid(host_pid)
        if pid is None or pod_uid(host_pid, node_root) != pod:
            continue
        ids = _CONTAINER.findall(" ".join(_lines(host_pid, "cgroup")))
        container = str(ids[0]) if ids else ""
        if container not in first or pid < first[container].pid:
            first[container] = Preloaded(pid, container, _variable(host_pid, "LD_PRELOAD"))
    return sorted(first.values(), key=lambda one: one.container)


def _variable(pid: int, name: str) -> str | None:
    """A variable of the environment that a process was started with; "" when it is not set."""
    try:
        entries = (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return None
    values = [entry.partition(b"=")[2] for entry in entries if entry.startswith(f"{name}=".encode())]
    return values[0].decode(errors="replace") if values else ""


def pod_uid(pid: int, node_root: Path) -> str | None:
    """The uid of the pod that the process is in; None when it is in none.

    In Kubernetes its cgroup has it; on a node that is a folder, its home below `pods/` (docs/architecture.md).
    """
    found = _POD.search(" ".join(_lines(pid, "cgroup")))
    return found[1].replace("_", "-") if found else _home_pod(pid, node_root)


def _home_pod(pid: int, node_root: Path) -> str | None:
    for entry in "".join(_lines(pid, "environ")).split("\0"):
        name, _, value = entry.partition("=")
        if name == "HOME" and os.path.realpath(Path(value).parent) == os.path.realpath(node_root / "pods"):
            return Path(value).name
    return None


def _all_pids() -> Iterator[int]:
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            yield int(entry.name)


def _namespace(pid: int) -> int | None:
    try:
        return (_PROC / str(pid) / "ns/pid").stat().st_ino
    except OSError:
        return None


def _innermost_pid(pid: int) -> int | None:
    """The last number of `NSpid:` in /proc/PID/status (proc(5)): the pid in the process's own namespace."""
    for line in _lines(pid, "status"):
        if line.startswith("NSpid:"):
            return int(line.split()[-1])
    return None


def _has_mapped(pid: int, key: str) -> bool:
    """Whether it has mapped the file read-only, as the shim does: the agent's own mapping is writable."""
    return any(key in line and " r--s " in line for line in _lines(pid, "maps"))


def _mapping_key(path: Path) -> str:
    """A file in /proc/PID/maps: ` MAJOR:MINOR INODE `."""
    found = path.stat()
    return f" {os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x} {found.st_ino} "


def _lines(pid: int, file: str) -> list[str]:
    try:
        return (_PROC / str(pid) / file).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
