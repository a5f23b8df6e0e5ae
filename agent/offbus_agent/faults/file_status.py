"""A program: which file each of some processes finds under a name. Started by `seen_files`, with no package to import.

Reads `[[PID, PATH], …]` as JSON, and writes a line "PID DEVICE INODE" as each is found, or "PID" for nothing. A process
in another mount namespace is looked for below its own root, without following links: one could lead back to our files.
"""

import json
import os
import sys
from contextlib import ExitStack
from pathlib import Path


def main() -> None:
    """Answer all of stdin."""
    for pid, path in json.load(sys.stdin):
        try:
            seen = _status(pid, path)
        except (OSError, ValueError):
            print(pid, flush=True)
        else:
            print(pid, seen.st_dev, seen.st_ino, flush=True)


def _status(pid: int, path: str) -> os.stat_result:
    """Raises OSError; elsewhere than in our own mount namespace also for a symbolic link, and for `..`."""
    if Path("/proc/self/ns/mnt").samefile(f"/proc/{pid}/ns/mnt"):
        return Path(path).stat()
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts or not parts:
        raise OSError(f"{path} may lead out of its root")
    flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
    with ExitStack() as opened:
        folder = os.open(f"/proc/{pid}/root", flags)
        opened.callback(os.close, folder)
        for part in parts[:-1]:
            folder = os.open(part, flags | os.O_NOFOLLOW, dir_fd=folder)
            opened.callback(os.close, folder)
        return os.stat(parts[-1], dir_fd=folder, follow_symlinks=False)


if __name__ == "__main__":
    main()
