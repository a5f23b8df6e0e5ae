"""What the kernel tells of a process only to root: looked up by this process, or asked of the kernel-log helper.

Job: the same fixed questions either way (docs/reference/kernel-log-helper.md has their list), about one process each.
`OwnLooks` needs the rights itself, `HelperLooks` none. What a process makes of these files is hostile: a field counts
only in its own column, and each is read up to a limit. A process that has ended, or cannot be looked at, is an answer;
a helper that cannot be asked raises HelperUnreachable, so that nobody takes "not asked" for "not there".
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from offbus_agent.faults.proc_files import file_of, pieces_of, variable
from offbus_agent.faults.seen_files import ANSWER_S, LONGEST_PATH, files_seen
from offbus_agent.kmsg_helper import (
    AskMetadata,
    AskProcess,
    HelperRefused,
    HelperSilent,
    Kind,
    KmsgHelper,
    Reply,
    Status,
)
from offbus_agent.metadata import FileId

__all__ = ["HelperLooks", "Looks", "OwnLooks"]

_MAPPING = re.compile(rb"[0-9a-f]+-[0-9a-f]+ (\S{4}) [0-9a-f]+ ([0-9a-f]+:[0-9a-f]+) ([0-9]+)(?: |$)")
"""In /proc/PID/maps (proc(5)): permissions, device, inode. The path after them may hold anything."""
_SILENT_AFTER_S = ANSWER_S + 1.0
"""The helper ends a child that does not answer after 3 s, and then hangs up."""


class Looks(Protocol):
    """What root can see of a process. All are blocking; all raise HelperUnreachable."""

    def user(self) -> int:
        """Who sees all this: root, on a real node."""

    def namespace(self, pid: int) -> int | None:
        """The inode of its pid namespace."""

    def has_page(self, pid: int, most: int) -> tuple[bool | None, int]:
        """Whether it has the control page mapped, None when that is not in `most` bytes; and how many were read.

        For reading only, as the shim does: the agent's own mapping can be written.
        """

    def preload(self, pid: int) -> str | None:
        """The LD_PRELOAD that it was started with; "" for none, None when its environment cannot be read."""

    def executable(self, pid: int) -> str:
        """The name of the file that it runs, without its folder; the kernel marks one that was replaced since."""

    def read_file(self, paths: Mapping[int, Path], metadata: FileId) -> dict[int, bool]:
        """Whether each process (by its pid) finds the node's metadata file under the name by which it reads one.

        In its own mount namespace. Those that cannot be told are left out.
        """


class OwnLooks(Looks):
    """Looked up by this process, which needs root's rights for it. `page`: the control page."""

    def __init__(self, page: Path) -> None:
        self._page = page

    def user(self) -> int:
        """This process's."""
        return os.geteuid()

    def namespace(self, pid: int) -> int | None:
        """See `Looks.namespace`."""
        try:
            return file_of(pid, "ns/pid").stat().st_ino
        except OSError:
            return None

    def has_page(self, pid: int, most: int) -> tuple[bool | None, int]:
        """See `Looks.has_page`. Where a piece does not name the page at all, its lines need not be looked at."""
        page = _mapping_key(self._page)
        name, rest, read = b" %s %s" % page, b"", 0
        for piece in pieces_of(pid, "maps"):
            read += len(piece)
            lines, _, rest = (rest + piece).rpartition(b"\n")
            found = map(_MAPPING.match, lines.split(b"\n")) if name in lines else ()
            if any(one[1] == b"r--s" and one.group(2, 3) == page for one in found if one):
                return True, read
            if read >= most:
                return None, read
        return False, read

    def preload(self, pid: int) -> str | None:
        """See `Looks.preload`."""
        return variable(pid, "LD_PRELOAD")

    def executable(self, pid: int) -> str:
        """See `Looks.executable`."""
        try:
            return file_of(pid, "exe").readlink().name
        except OSError:
            return ""

    def read_file(self, paths: Mapping[int, Path], metadata: FileId) -> dict[int, bool]:
        """See `Looks.read_file`."""
        return {pid: file == metadata for pid, file in files_seen(paths).items()}


class HelperLooks(Looks):
    """Asked of the kernel-log helper."""

    def __init__(self, helper: KmsgHelper) -> None:
        self._helper = helper

    def user(self) -> int:
        """The helper's."""
        return self._helper.user()

    def namespace(self, pid: int) -> int | None:
        """See `Looks.namespace`."""
        reply = self._about(Kind.NAMESPACE, pid)
        return reply.number if reply.status is Status.DONE else None

    def has_page(self, pid: int, most: int) -> tuple[bool | None, int]:
        """See `Looks.has_page`."""
        reply = self._about(Kind.MAPS_PAGE, pid, max(1, most))
        return None if reply.status is Status.TOO_LONG else bool(reply.number), reply.seq

    def preload(self, pid: int) -> str | None:
        """See `Looks.preload`."""
        reply = self._about(Kind.PRELOAD, pid)
        return reply.text.decode(errors="replace") if reply.status is Status.DONE else None

    def executable(self, pid: int) -> str:
        """See `Looks.executable`."""
        reply = self._about(Kind.EXECUTABLE, pid)
        return os.fsdecode(reply.text) if reply.status is Status.DONE else ""

    def read_file(self, paths: Mapping[int, Path], metadata: FileId) -> dict[int, bool]:
        """See `Looks.read_file`. The helper compares with the node's own file, which `metadata` was read from."""
        found = {pid: self._reads(pid, str(path)) for pid, path in paths.items()}
        return {pid: reads for pid, reads in found.items() if reads is not None}

    def _reads(self, pid: int, path: str) -> bool | None:
        if not path.startswith("/") or len(os.fsencode(path)) >= LONGEST_PATH:
            return False
        question = AskMetadata(pid=pid, path=os.fsencode(path))
        try:
            reply = self._helper.ask(Kind.READS_METADATA, question, within_s=_SILENT_AFTER_S)
        except HelperSilent:
            return None
        if reply.status is Status.BUSY:
            return None
        return bool(_known(reply).number)

    def _about(self, kind: Kind, pid: int, most: int = 0) -> Reply:
        return _known(self._helper.ask(kind, AskProcess(pid=pid, most=most)))


def _known(reply: Reply) -> Reply:
    """An answer about a process. Raises HelperRefused for one about the question."""
    if reply.status not in (Status.DONE, Status.NOT_FOUND, Status.TOO_LONG):
        raise HelperRefused(reply.status)
    return reply


def _mapping_key(path: Path) -> tuple[bytes, bytes]:
    """How /proc/PID/maps names a file: device and inode."""
    found = path.stat()
    device = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}"
    return device.encode(), str(found.st_ino).encode()
