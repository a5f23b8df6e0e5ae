"""Wakes the agent when a process reports its first faulted call, and when a pod's folder of events appears.

Job: inotify watches on the folder of all pods' events and on each pod's own. The shim rings by pwrite(2) of a row. A
pod's folder that is not the agent's yet is passed over: it rings when it is given to it. Without inotify,
`DoorbellError` is raised; the keeper then polls.
"""

from collections.abc import Iterable
from pathlib import Path

from offbus_agent.inotify import ATTRIB, CREATE, MODIFY, MOVED_TO, Inotify

__all__ = ["Doorbell", "DoorbellError"]


class DoorbellError(Exception):
    """Raised when the kernel refuses an inotify instance or watch."""


class Doorbell:
    """One inotify descriptor; readable after a ring."""

    def __init__(self, folder: Path) -> None:
        try:
            self._inotify = Inotify()
        except OSError as err:
            raise DoorbellError(f"no inotify instance: {err.strerror}") from err
        self.fd = self._inotify.fd
        try:
            self._inotify.watch(folder, CREATE | MOVED_TO | ATTRIB)
        except OSError as err:
            self.close()
            raise DoorbellError(f"no inotify watch on {folder}: {err.strerror}") from err

    def watch(self, pods: Iterable[Path]) -> None:
        """Watch these folders too; one that is watched, gone or closed to us changes nothing. Raises DoorbellError."""
        for folder in pods:
            try:
                self._inotify.watch(folder, MODIFY)
            except (FileNotFoundError, PermissionError):
                continue
            except OSError as err:
                raise DoorbellError(f"no inotify watch on {folder}: {err.strerror}") from err

    def silence(self) -> bool:
        """Read the rings so far; whether there were any. What is more than one read of them rings again."""
        return self._inotify.read()

    def close(self) -> None:
        """Close the descriptor."""
        self._inotify.close()
