"""Whether the responder's monitor knows a GPU: it knows what its metadata file lists, if that is older than itself.

NVSentinel's syslog-health-monitor reads `gpu_metadata.json` once, when it starts. A reset line for a GPU that it does
not know blinds it for ever: it tries that journal entry again and again, and sees nothing after it (seen with the real
one, main of 2026-08-21; newer sources read the file again when it changes, which makes this rule stricter than it
needs to be, never wrong). So a reset line is allowed only when all of this is certain; whatever is not is a reason to
refuse:

- the file lists the GPU, and it was changed in this boot: the time of an older one cannot be compared with a process's;
- a monitor runs. None that can be recognised does not mean that there is none: it may have another name, or be
  about to start;
- every process that may be the monitor started after the file's last change (its ctime: moving another file there
  counts), by at least the kernel's grain of both times;
- every such process reads this file: the same device and inode, under the name by which it opens it, seen in its own
  mount namespace without following links (a link could lead back to our own files). One below whose root nothing
  answers reads nobody knows what (`seen_files`).

What may be a monitor: a process of the user that looks (root, in a cluster: ours, or the kernel-log helper's) whose
executable has the real one's name, or whose arguments are those of the stand-in's detector. One of the stand-in's that
reads another file belongs to another node of the sandbox and is passed over; so is the real one, beside a node that is
a folder with a kernel log of its own. An unprivileged process, or one of a user namespace, is never looked at: it can
forge its name, arguments and start, but not its user ids as the kernel tells them (`Uid:` of /proc/PID/status; not the
owner of /proc/PID, which a process can make root's). Whoever runs as root in a container can be taken for a monitor,
which leads to a refusal, at worst; to be taken for one that knows the file it has to have the node's folder mounted.

The file's time is the clock's on the wall, a process's the boot clock's; they are compared by the difference of both
clocks now. Setting the clock forward between the file's change and now makes the file look older, which a refusal of
files from before the boot bounds to clocks that are set by less than the node's uptime at the change.

Refused is not stuck: the undo then lifts the quarantine by hand. Files of /proc are hostile (see `processes`).
Blocking.
"""

import os
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from offbus_agent.faults.hidden import Looks
from offbus_agent.faults.proc_files import all_pids, content_of
from offbus_agent.lease_time import NS, boottime_ns
from offbus_agent.metadata import METADATA, FileId, read_metadata

__all__ = ["Knowledge", "knowledge_of"]

_NAME = "syslog-health-monitor"
"""The real one's executable (its Dockerfile: /app/syslog-health-monitor)."""
_OPTION = re.compile(rb"--?metadata-path(?:=(.*))?", re.DOTALL)
"""Its option for the file, in both of Go's spellings."""
_STAND_IN = (b"-m", b"offbus_sandbox.responder", b"detector")
_ROOT_OPTION = re.compile(rb"--root(?:=(.*))?", re.DOTALL)
_UIDS = re.compile(rb"^Uid:\t([0-9]+)\t([0-9]+)\t([0-9]+)\t([0-9]+)$", re.MULTILINE)
"""In /proc/PID/status (proc(5)): real, effective, saved, of the file system. A name's line feeds are escaped there."""
_GRAIN_NS = NS // os.sysconf("SC_CLK_TCK")
"""A process's start is told in ticks, and a file's time is at most one behind."""
_START = 19
"""The index of `starttime` among the fields of /proc/PID/stat after the name (proc(5): field 22)."""


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What the responder's monitor on a node is known to know."""

    gpus: frozenset[str] = frozenset()
    """UUIDs that the metadata file lists."""
    uncertain: str = ""
    """Why the monitor may not know what the file says; "" when it does."""

    def why_not(self, gpu: str) -> str:
        """Why no reset line may be written for a GPU; "" when one may be."""
        return self.uncertain if gpu in self.gpus else f"{METADATA} does not list it"


@dataclass(frozen=True, slots=True)
class _Monitor:
    pid: int
    started_ns: int
    """By the boot clock."""
    path: Path
    """Of its metadata file, where it sees it."""
    is_real: bool
    """Whether it is NVSentinel's own, not the stand-in's."""


def knowledge_of(root: Path, looks: Looks, *, of_machine: bool) -> Knowledge:
    """What the monitor of the node below `root` is known to know.

    Raises GpuDiscoveryError for a broken file, HelperUnreachable.

    `of_machine`: the node's kernel log is the machine's own; that of a node that is a folder is read by its detector
    alone.
    """
    metadata = read_metadata(root)
    if metadata is None:
        return Knowledge()
    changed_ns = metadata.changed_ns - (time.time_ns() - boottime_ns())
    return Knowledge(
        frozenset(metadata.pcis), _uncertain(looks, metadata.file, changed_ns, of_machine=of_machine)
    )


def _uncertain(looks: Looks, file: FileId, changed_ns: int, *, of_machine: bool) -> str:
    if changed_ns < 0:
        return (
            f"{METADATA} is from before the node's boot, so it cannot be told whether the monitor has read it"
        )
    monitors = list(_monitors(looks))
    reads = looks.read_file({one.pid: one.path for one in monitors}, file)
    # beside a node that is a folder, one that reads another file belongs to another node
    here = [one for one in monitors if (one.is_real and of_machine) or reads.get(one.pid, True)]
    if not here:
        return (
            "no process of NVSentinel's syslog-health-monitor is recognised here, so it cannot be told which GPUs it "
            "knows: a reset line for another one would blind it"
        )
    for one in here:
        if one.pid not in reads:
            return (
                f"the monitor (pid {one.pid}) reads nobody knows which file: a file system that a pod has mounted does "
                "not answer"
            )
        if not reads[one.pid]:
            return f"the monitor (pid {one.pid}) reads another file than the node's {METADATA}"
        if one.started_ns < changed_ns + _GRAIN_NS:
            return (
                f"{METADATA} is newer than the monitor (pid {one.pid}), which reads it only when it starts: restart "
                "the monitor"
            )
    return ""


def _monitors(looks: Looks) -> Iterator[_Monitor]:
    """Whatever may be a monitor of this node, or of another one that is a folder."""
    own = (str(looks.user()).encode(),) * 4
    for pid in all_pids():
        uids = _UIDS.search(content_of(pid, "status") or b"")
        if uids is None or uids.groups() != own:
            continue
        arguments = (content_of(pid, "cmdline") or b"").split(b"\0")
        real = looks.executable(pid).removesuffix(" (deleted)") == _NAME
        if not real and not _is_stand_in(arguments):
            continue
        started_ns = _started_ns(pid)
        if started_ns is None:  # it has ended
            continue
        if real:
            path = Path(_option(arguments, _OPTION) or "/" / METADATA)
        else:
            path = Path(_option(arguments, _ROOT_OPTION), METADATA)
        yield _Monitor(pid, started_ns, path, real)


def _is_stand_in(arguments: Sequence[bytes]) -> bool:
    return any(tuple(arguments[i : i + len(_STAND_IN)]) == _STAND_IN for i in range(len(arguments)))


def _option(arguments: Sequence[bytes], option: re.Pattern[bytes]) -> str:
    """The last value of an option, as its argument or after `=`; empty when it is not given."""
    value = b""
    for argument, following in zip(arguments, [*arguments[1:], b""], strict=True):
        if found := option.fullmatch(argument):
            value = following if found[1] is None else found[1]
    return os.fsdecode(value)


def _started_ns(pid: int) -> int | None:
    fields = (content_of(pid, "stat") or b"").rpartition(b")")[2].split()
    if len(fields) <= _START or not fields[_START].isdigit():
        return None
    return int(fields[_START]) * _GRAIN_NS
