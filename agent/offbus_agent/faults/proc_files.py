"""The files of /proc that every user may read: whole, as bytes, and up to a limit.

Names, paths and environments there are what their processes made them, and any of them may be as long as its process
likes: they are read in pieces, and what is longer than the limit counts as not readable. Reading /proc of processes
that come and go never raises.
"""

from collections.abc import Iterator
from pathlib import Path

__all__ = ["PROC", "all_pids", "content_of", "file_of", "pieces_of", "variable"]

PROC = Path("/proc")
_CHUNK = 1 << 16
_MOST_OF_A_FILE = 2 << 20
"""Of `status`, `cgroup` and `environ`: a process may have 65536 groups (700 kB), and with a stack of the usual limit an
environment of 2 MiB (execve(2)). It may have any memory shown as its environment (prctl(2), PR_SET_MM_MAP)."""


def all_pids() -> Iterator[int]:
    """Every process that we can see, by its pid in our namespace."""
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            yield int(entry.name)


def file_of(pid: int, file: str) -> Path:
    """Where a process's file is."""
    return PROC / str(pid) / file


def content_of(pid: int, file: str) -> bytes | None:
    """None when it cannot be read: the process has ended, is not ours to look at, or has made the file too long."""
    content, ended = b"", False
    for piece in pieces_of(pid, file):
        content, ended = content + piece, not piece
        if len(content) > _MOST_OF_A_FILE:
            return None
    return content if ended else None


def pieces_of(pid: int, file: str) -> Iterator[bytes]:
    """An empty one at the end; none more when the rest cannot be read."""
    try:
        with file_of(pid, file).open("rb", buffering=0) as opened:
            while piece := opened.read(_CHUNK):
                yield piece
            yield b""
    except OSError:
        return


def variable(pid: int, name: str) -> str | None:
    """Of the environment that a process was started with; "" when it had none of that name, None when unreadable."""
    content = content_of(pid, "environ")
    if content is None:
        return None
    values = [
        entry.partition(b"=")[2] for entry in content.split(b"\0") if entry.startswith(f"{name}=".encode())
    ]
    return values[0].decode(errors="replace") if values else ""
