"""From the pid that a process sees to the pid that the node sees.

Job: find the process that filled a row of the events file. The row is believed in nothing: the process must live in
the pid namespace that the row names, have that pid in it, and have the events file mapped. None means that no such
process is alive (any more). Reading /proc of processes that come and go never raises.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

__all__ = ["find_process", "pod_uid"]

_PROC = Path("/proc")
_POD = re.compile(r"pod([0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12})")
"""Kubelet's cgroup of a pod; its systemd driver spells the uid with underscores."""


def find_process(pid: int, namespace: int, events_file: Path) -> int | None:
    """The pid, in our namespace, of the process with `pid` in pid namespace inode `namespace`; None if not found."""
    mapped = _mapping_key(events_file)
    for candidate in _candidates(pid, namespace):
        if _is_that(candidate, pid, namespace) and _has_mapped(candidate, mapped):
            return candidate
    return None


def pod_uid(pid: int) -> str | None:
    """The uid of the pod that the process is in, from its cgroup; None outside of Kubernetes."""
    found = _POD.search(" ".join(_lines(pid, "cgroup")))
    return found[1].replace("_", "-") if found else None


def _candidates(pid: int, namespace: int) -> Iterator[int]:
    """In our own namespace there is one; in another, any process may be it."""
    if _namespace(os.getpid()) == namespace:
        yield pid
        return
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            yield int(entry.name)


def _is_that(candidate: int, pid: int, namespace: int) -> bool:
    return _namespace(candidate) == namespace and _innermost_pid(candidate) == pid


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
    return any(key in line for line in _lines(pid, "maps"))


def _mapping_key(path: Path) -> str:
    """How /proc/PID/maps names a file: ` MAJOR:MINOR INODE `."""
    found = path.stat()
    return f" {os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x} {found.st_ino} "


def _lines(pid: int, file: str) -> list[str]:
    try:
        return (_PROC / str(pid) / file).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
